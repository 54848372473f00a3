#include "chainrule/update.hpp"

#include <atomic>
#include <cstring>

#include "chainrule/dispatch.hpp"
#include "chainrule/split.hpp"

namespace chainrule {
namespace {

std::size_t slots_of(const Optimizer& optimizer) {
  const std::size_t velocity = optimizer.momentum == 0 ? 0 : 1;
  switch (optimizer.rule) {
    case Rule::sgd:
      return velocity;
    case Rule::rmsprop:
      return 1 + velocity;
    case Rule::adagrad:
      return 1;
    case Rule::adam:
    case Rule::adamw:
    case Rule::nadam:
    case Rule::rprop:
      break;
  }
  return 2;
}

// The ranges of the arena that the optimizer moves: of all layers but the frozen ones, neighbours as one.
template <class T>
void list_parts(std::vector<Part>& parts, const Net<T>& net, const Optimizer& optimizer) {
  parts.clear();
  const bool alike = (optimizer.weight_decay == 0 || optimizer.decay_biases) &&
                     (optimizer.l2 == 0 || optimizer.l2_of_biases);
  const auto add = [&](std::size_t first, std::size_t count, bool biases) {
    const bool joins = !parts.empty() && parts.back().first + parts.back().count == first &&
                       (alike || parts.back().biases == biases);
    if (joins) {
      parts.back().count += count;
    } else {
      parts.push_back({first, count, biases});
    }
  };
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    if (!net.frozen(l)) add(layer.weights, layer.fan_in * layer.fan_out, false);
  }
  for (std::size_t l = 0; net.has_bias() && l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    if (!net.frozen(l)) add(layer.biases, layer.fan_out, true);
  }
}

}  // namespace

template <class T>
void OptimizerState<T>::restore(Rule rule, std::size_t slots, std::size_t parameters, std::uint64_t steps) {
  Buffer<T> arena(slots * padded<T>(parameters));
  arena_ = std::move(arena);
  rule_ = rule;
  slots_ = slots;
  steps_ = steps;
  product_steps_ = 0;
  momentum_product_ = 1;
}

template <class T>
Update<T> OptimizerState<T>::prepare(const Net<T>& net, const Optimizer& optimizer) {
  begin(optimizer);
  const std::size_t slots = slots_of(optimizer), parameters = net.parameters().size();
  if (slots > slots_) {
    // What is there already, rmsprop's squares before it has a momentum, stays.
    Buffer<T> grown(slots * padded<T>(parameters));
    if (slots_ > 0) std::memcpy(grown.data(), arena_.data(), slots_ * padded<T>(parameters) * sizeof(T));
    arena_ = std::move(grown);
    slots_ = slots;
  }
  list_parts(parts_, net, optimizer);
  Update<T> step{optimizer, arena_.data(), padded<T>(parameters), steps_, 1};
  if (optimizer.rule == Rule::nadam) step.momentum_product = momentum_product(optimizer);
  return step;
}

template <class T>
double OptimizerState<T>::momentum_product(Optimizer optimizer) {
  optimizer.lr = optimizer.l2 = 0;  // they have no part in it
  if (!(optimizer == product_of_) || product_steps_ > steps_) {
    product_of_ = optimizer;
    product_steps_ = 0;
    momentum_product_ = 1;
  }
  // Below this it has no part in any number; and a file may claim any number of steps.
  constexpr double nothing = 1e-20;
  while (product_steps_ < steps_ && momentum_product_ > nothing)
    momentum_product_ *= nadam_momentum(optimizer, ++product_steps_);
  product_steps_ = steps_;
  return momentum_product_;
}

template <class T>
void OptimizerState<T>::advance_to(const Update<T>& last) {
  steps_ = last.t;
}

namespace {

// Whether work(range) is true for all ranges of an arena, shared among threads line by line of the cache.
template <class Work>
bool all_of_arena(std::size_t threads, std::size_t size, Work work) {
  // An update of one parameter takes as long as some fifty operations of a product.
  const double operations = 50 * static_cast<double>(size);
  std::atomic<bool> all = true;
  split(threads, operations, size, kAlignment, [&](Range range) {
    if (!work(range)) all.store(false, std::memory_order_relaxed);
  });
  return all;
}

}  // namespace

template <class T>
void OptimizerState<T>::step(Net<T>& net, const Optimizer& optimizer, std::size_t threads) {
  const Kernels<T>& kernel = kernels<T>();
  const std::size_t count = net.parameters().size();
  const T* g = net.gradients().data();
  const bool finite = all_of_arena(
      threads, count, [&](Range range) { return kernel.all_finite(g + range.first, range.count); });
  if (!finite) throw Divergence("the gradient is not finite");
  const Update<T> update = advanced(net, optimizer);
  bool moved = true;
  for (const Part& part : parts_) {
    const Update<T> of_part = update.of(part);
    moved &= all_of_arena(threads, part.count, [&](Range range) {
      Update<T> of_range = of_part;
      const std::size_t first = part.first + range.first;
      if (of_range.state != nullptr) of_range.state += range.first;
      return kernel.update(net.parameters().data() + first, g + first, of_range, range.count);
    });
  }
  check_moved(moved);
}

template <class T>
void OptimizerState<T>::step(Net<T>& net, const Optimizer& optimizer,
                             const std::function<bool(std::size_t, const LayerUpdate<T>&)>& descend) {
  const Update<T> update = advanced(net, optimizer);
  bool moved = true;
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    if (net.frozen(l)) continue;
    const Layer& layer = net.layers()[l];
    T* parameters = net.parameters().data();
    const Update<T> of_weights = update.of({layer.weights, layer.fan_in * layer.fan_out, false});
    LayerUpdate<T> of_layer{parameters + layer.weights, of_weights, nullptr, update};
    if (net.has_bias()) {
      of_layer.biases = parameters + layer.biases;
      of_layer.of_biases = update.of({layer.biases, layer.fan_out, true});
    }
    moved &= descend(l, of_layer);
  }
  check_moved(moved);
}

template <class T>
Update<T> OptimizerState<T>::advanced(const Net<T>& net, const Optimizer& optimizer) {
  Update<T> step = prepare(net, optimizer);
  advance(step);
  advance_to(step);
  return step;
}

template <class T>
void OptimizerState<T>::check_moved(bool all) {
  if (all) return;
  reset();  // its moments may be infinite, and would spoil every later step
  throw Divergence("the update overflows");
}

template class OptimizerState<float>;
template class OptimizerState<double>;

}  // namespace chainrule
