// What a network is: sizes, activations, loss, reduction. Plain values; nothing here computes.
// Included by the kernels, so it uses no more of the standard library than fixed-size types.
#pragma once

#include <cstddef>

namespace chainrule {

// The activations: name, formula (a struct of kernels/activation.inl), and whether the derivative is a
// function of the output alone, so that nothing else has to be kept for the way back. The softmax couples the
// units of a layer, and is for the output.
#define CHAINRULE_ACTIVATIONS(ENTRY)     \
  ENTRY(identity, Identity, true)        \
  ENTRY(sigmoid, Sigmoid, true)          \
  ENTRY(hard_sigmoid, HardSigmoid, true) \
  ENTRY(tanh, Tanh, true)                \
  ENTRY(relu, Relu, true)                \
  ENTRY(leaky_relu, LeakyRelu, true)     \
  ENTRY(elu, Elu, true)                  \
  ENTRY(selu, Selu, true)                \
  ENTRY(gelu, Gelu, false)               \
  ENTRY(gelu_tanh, GeluTanh, false)      \
  ENTRY(silu, Silu, false)               \
  ENTRY(mish, Mish, false)               \
  ENTRY(softplus, Softplus, true)        \
  ENTRY(softsign, Softsign, true)        \
  ENTRY(exp, Exponential, true)

// The losses: name, and formula (a struct of kernels/loss.inl).
#define CHAINRULE_LOSSES(ENTRY)               \
  ENTRY(squared_error, SquaredError)          \
  ENTRY(half_squared_error, HalfSquaredError) \
  ENTRY(absolute_error, AbsoluteError)        \
  ENTRY(huber, Huber)                         \
  ENTRY(quantile, Quantile)                   \
  ENTRY(log_cosh, LogCosh)                    \
  ENTRY(poisson, Poisson)                     \
  ENTRY(log_loss, LogLoss)                    \
  ENTRY(cross_entropy, CrossEntropy)          \
  ENTRY(hinge, Hinge)

#define CHAINRULE_NAME(name, ...) name,
#define CHAINRULE_TEXT(name, ...) #name,
enum class Activation { CHAINRULE_ACTIVATIONS(CHAINRULE_NAME) softmax };
inline constexpr const char* kActivationNames[] = {CHAINRULE_ACTIVATIONS(CHAINRULE_TEXT) "softmax"};
enum class Loss { CHAINRULE_LOSSES(CHAINRULE_NAME) };
inline constexpr const char* kLossNames[] = {CHAINRULE_LOSSES(CHAINRULE_TEXT)};
#undef CHAINRULE_NAME
#undef CHAINRULE_TEXT

// Whether the derivative has to be kept, for it is no function of the output alone.
static constexpr bool keeps_slopes(Activation activation) {
#define CHAINRULE_KEEPS(name, formula, from_output) \
  if (activation == Activation::name) return !from_output;
  CHAINRULE_ACTIVATIONS(CHAINRULE_KEEPS)
#undef CHAINRULE_KEEPS
  return false;
}

// A loss and its constants: huber's delta, the quantiles, the smoothing of labels.
struct LossRule {
  Loss loss = Loss::half_squared_error;
  const double* constants = nullptr;
  std::size_t count = 0;
  // The most that an output, or of cross_entropy the row's class, counts. Slopes are those of the loss
  // itself.
  double most = __builtin_huge_val();

  // Several quantiles at once: so many outputs, one after the other, share a column of the targets.
  std::size_t outputs_per_target() const { return loss == Loss::quantile ? count : 1; }
};

// Over the rows of a minibatch; the outputs of one row are always summed.
enum class Reduction { mean, sum };
inline constexpr const char* kReductionNames[] = {"mean", "sum"};

enum class Rule { sgd, adam, adamw, nadam, rmsprop, adagrad, rprop };
inline constexpr const char* kRuleNames[] = {"sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad", "rprop"};

// What the loss of each row is multiplied by in the gradient of the reduced loss.
static inline double gradient_scale(Reduction reduction, double weight_sum) {
  if (reduction == Reduction::sum) return 1;
  return weight_sum == 0 ? 0 : 1 / weight_sum;
}

// h (rows, fan_out) = a (rows, fan_in) W (fan_in, fan_out) + b (fan_out), then the activation.
struct Layer {
  std::size_t fan_in;
  std::size_t fan_out;
  std::size_t weights;  // offsets in the arenas
  std::size_t biases;
  Activation activation;
  double dropout;  // the share of its outputs that training drops
};

// Whether anything but the output has to be kept for the way back. What is dropped has the slope 0.
static inline bool keeps_slopes(const Layer& layer) {
  return keeps_slopes(layer.activation) || layer.dropout != 0;
}

// An update rule and its constants; each rule reads its own (python/chainrule/optimizers.py has the
// formulas).
struct Optimizer {
  Rule rule = Rule::sgd;
  double lr = 0.01;
  double momentum = 0;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  bool epsilon_hat = false;  // of Adam and its kin: added to the root before that is corrected for the start
  double weight_decay = 0;
  bool decay_biases = false;
  double l2 = 0;  // l2 w is added to the gradient where the update reads it; see Regularization::leave_l2_to
  bool l2_of_biases = false;
  double momentum_decay = 0.004;
  double rho = 0.9;
  double eta_minus = 0.5;
  double eta_plus = 1.2;
  double step_min = 1e-6;
  double step_max = 50;

  bool operator==(const Optimizer&) const = default;
};

// What keeps weights and gradients small, in the order in which a step applies it; 0 is off.
struct Regularization {
  double l1 = 0;
  double l2 = 0;
  double clip_value = 0;
  double clip_norm = 0;
  double max_norm = 0;
  bool penalize_biases = false;
  // Whether penalties, like the rows' losses, are over the minibatch's weight. The loss of an epoch is then
  // the mean over its rows of their minibatch's loss.
  bool per_weight = false;

  // The same for a minibatch of that weight.
  Regularization of_minibatch(double weight_sum) const {
    Regularization its = *this;
    if (per_weight) {
      its.l1 *= gradient_scale(Reduction::mean, weight_sum);
      its.l2 *= gradient_scale(Reduction::mean, weight_sum);
    }
    return its;
  }
  // Has the update add the penalty l2 to the gradients, unless something else comes after it: that saves a
  // pass over gradients and parameters (50-256-128-2: 2 % of a step), and streamed updates have no other way.
  void leave_l2_to(Optimizer& optimizer) {
    if (clips()) return;
    optimizer.l2 = l2;
    optimizer.l2_of_biases = penalize_biases;
    l2 = 0;
  }
  bool changes_gradients() const { return l1 != 0 || l2 != 0 || clips(); }
  bool clips() const { return clip_value != 0 || clip_norm != 0; }
};

}  // namespace chainrule
