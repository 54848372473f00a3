#include "chainrule/update.hpp"

#include <atomic>

#include "chainrule/dispatch.hpp"
#include "chainrule/split.hpp"

namespace chainrule {
namespace {

std::size_t slots_of(const Optimizer& optimizer) {
  switch (optimizer.rule) {
    case Rule::sgd:
      return optimizer.momentum == 0 ? 0 : 1;
    case Rule::adam:
      break;
  }
  return 2;
}

}  // namespace

template <class T>
void OptimizerState<T>::restore(Rule rule, std::size_t slots, std::size_t parameters, std::uint64_t steps) {
  Buffer<T> arena(slots * padded<T>(parameters));
  arena_ = std::move(arena);
  rule_ = rule;
  slots_ = slots;
  steps_ = steps;
}

template <class T>
Update<T> OptimizerState<T>::prepare(const Optimizer& optimizer, std::size_t parameters) {
  if (optimizer.rule != rule_) reset();
  const std::size_t slots = slots_of(optimizer);
  if (slots > slots_) restore(optimizer.rule, slots, parameters, steps_);
  rule_ = optimizer.rule;
  return {optimizer, arena_.data(), padded<T>(parameters), steps_};
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
  Update<T> update = prepare(optimizer, count);
  update.t = ++steps_;
  const bool moved = all_of_arena(threads, count, [&](Range range) {
    Update<T> part = update;
    if (part.state != nullptr) part.state += range.first;
    return kernel.update(net.parameters().data() + range.first, g + range.first, part, range.count);
  });
  if (moved) return;
  reset();  // its moments may be infinite, and would spoil every later step
  throw Divergence("the update overflows");
}

template class OptimizerState<float>;
template class OptimizerState<double>;

}  // namespace chainrule
