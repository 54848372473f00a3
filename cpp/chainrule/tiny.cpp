#include "chainrule/tiny.hpp"

#include <algorithm>

#include "chainrule/dispatch.hpp"

namespace chainrule {
namespace {

template <class T>
void copy(Buffer<T>& to, const Buffer<T>& from) {
  to.reserve(from.size());
  std::copy_n(from.data(), from.size(), to.data());  // neither has any memory where nothing is to be kept
}

// Whether units go in the lanes instead of rows: where they fill them, and just one output needs sums over
// them.
template <class T>
bool one_wide_hidden_layer(const Net<T>& net) {
  return net.layers().size() == 2 && net.outputs() == 1 && !keeps_slopes(net.layers()[0]) &&
         net.layers()[0].fan_out >= kAlignment / sizeof(T);
}

}  // namespace

template <class T>
bool Tiny<T>::suits(const Net<T>& net, std::size_t batch_size) {
  // Measured against rows of units, by nets of 8 to 32 units and minibatches of 1 to 256 rows.
  constexpr std::size_t most_features = 32;
  const bool half_full = batch_size >= kAlignment / sizeof(T) / 2;
  const std::size_t most_weights = one_wide_hidden_layer(net) ? 2048 : half_full ? 384 : 128;
  return net.features() <= most_features && std::ranges::all_of(net.layers(), [&](const Layer& layer) {
           return layer.fan_in * layer.fan_out <= most_weights;
         });
}

template <class T>
Tiny<T>::Tiny(Net<T>& net, std::size_t rows) : net_(net) {
  const auto& layers = net.layers();
  const std::size_t stride = padded<T>(rows);
  std::size_t units = net.features() + 2 * net.outputs() + 1;  // inputs, yhat and targets, ones
  // Planes hold a row of the minibatch a column, or, of one hidden layer, a padded row of units a row.
  for (const Layer& layer : layers) units += (keeps_slopes(layer) ? 3 : 2) * padded<T>(layer.fan_out);
  arena_ = Buffer<T>(units * stride);
  T* next = arena_.data();
  const auto take = [&next, stride](std::size_t count) {
    T* plane = next;
    next += count * stride;
    return plane;
  };
  view_.layers = layers.data();
  view_.depth = layers.size();
  view_.loss = net.loss_rule();
  view_.reduction = net.reduction();
  view_.bias = net.has_bias();
  view_.units_in_lanes = one_wide_hidden_layer(net);
  view_.parameters = net.parameters().data();
  view_.gradients = net.gradients().data();
  view_.size = net.parameters().size();
  view_.weight_count = net.weight_count();
  view_.seed = net.seed();
  view_.stride = stride;
  view_.inputs = take(net.features());
  view_.yhat = take(net.outputs());
  view_.targets = take(net.outputs());
  T* ones = take(1);
  std::fill_n(ones, stride, T(1));
  for (const Layer& layer : layers) {
    const std::size_t room = padded<T>(layer.fan_out);
    T *a = take(room), *delta = take(room);
    planes_.push_back({a, delta, keeps_slopes(layer) ? take(room) : nullptr});
  }
  view_.planes = planes_.data();

  // In the arena's order: the weights of every layer, then the biases, which are weights of an input of ones.
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const T* below = l == 0 ? view_.inputs : planes_[l - 1].activations;
    for (std::size_t i = 0; i < layers[l].fan_in; ++i) {
      for (std::size_t j = 0; j < layers[l].fan_out; ++j) {
        factors_.push_back({below + i * stride, planes_[l].deltas + j * stride});
      }
    }
  }
  for (std::size_t l = 0; net.has_bias() && l < layers.size(); ++l) {
    for (std::size_t j = 0; j < layers[l].fan_out; ++j)
      factors_.push_back({ones, planes_[l].deltas + j * stride});
  }
  view_.factors = factors_.data();
}

template <class T>
double Tiny<T>::gradient(const Block<T>& block, double scale, bool accumulate, std::uint64_t step) {
  return kernels<T>().tiny_gradient(view_, block, scale, accumulate, step);
}

template <class T>
bool Tiny<T>::train(const Block<T>& block, std::size_t batch_size, OptimizerState<T>& state,
                    const Optimizer& optimizer, const Regularization& settings, double& loss,
                    double& penalty) {
  // The limit of weights is by layers, of which the kernel does not know the frozen ones.
  for (std::size_t l = 0; settings.max_norm != 0 && l < net_.layers().size(); ++l) {
    if (net_.frozen(l)) return false;
  }
  Update<T> step = state.prepare(net_, optimizer);
  view_.parts = state.parts().data();
  view_.part_count = state.parts().size();
  copy(parameters_before_, net_.parameters());
  copy(state_before_, state.arena());
  if (kernels<T>().tiny_train(view_, block, batch_size, settings, step, loss, penalty)) {
    state.advance_to(step);
    return true;
  }
  std::copy_n(parameters_before_.data(), net_.parameters().size(), net_.parameters().data());
  std::copy_n(state_before_.data(), state.arena().size(), state.arena().data());
  return false;
}

template class Tiny<float>;
template class Tiny<double>;

}  // namespace chainrule
