#include "chainrule/update.hpp"

#include "chainrule/dispatch.hpp"

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
  return {optimizer, arena_.data(), steps_};
}

template <class T>
void OptimizerState<T>::step(Net<T>& net, const Optimizer& optimizer) {
  const Kernels<T>& kernel = kernels<T>();
  const std::size_t count = net.parameters().size();
  if (!kernel.all_finite(net.gradients().data(), count)) throw Divergence("the gradient is not finite");
  Update<T> update = prepare(optimizer, count);
  update.t = ++steps_;
  if (kernel.update(net.parameters().data(), net.gradients().data(), update, count)) return;
  reset();  // its moments may be infinite, and would spoil every later step
  throw Divergence("the update overflows");
}

template class OptimizerState<float>;
template class OptimizerState<double>;

}  // namespace chainrule
