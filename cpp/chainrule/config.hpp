// What a network is: sizes, activations, loss, reduction. Plain values; nothing here computes.
// Included by the kernels, so it uses no more of the standard library than fixed-size types.
#pragma once

#include <cstddef>

namespace chainrule {

enum class Activation { identity, sigmoid, tanh, relu, softmax };
inline constexpr const char* kActivationNames[] = {"identity", "sigmoid", "tanh", "relu", "softmax"};

enum class Loss { squared_error, half_squared_error, log_loss, cross_entropy };
inline constexpr const char* kLossNames[] = {"squared_error", "half_squared_error", "log_loss",
                                             "cross_entropy"};

// Over the rows of a minibatch; the outputs of one row are always summed.
enum class Reduction { mean, sum };
inline constexpr const char* kReductionNames[] = {"mean", "sum"};

enum class Rule { sgd, adam };
inline constexpr const char* kRuleNames[] = {"sgd", "adam"};

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
};

// An update rule and its constants; each rule reads its own.
struct Optimizer {
  Rule rule = Rule::sgd;
  double lr = 0.01;
  double momentum = 0;  // sgd
  double beta1 = 0.9;   // adam
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

}  // namespace chainrule
