// The state of an update rule, and its step over the flat arenas.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "chainrule/net.hpp"

namespace chainrule {

// Training met an infinite or undefined number; the parameters are those before it.
struct Divergence : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class T>
class OptimizerState {
 public:
  // Moves the net's parameters by its gradients. The state starts afresh when the rule is another.
  // Throws Divergence, changing nothing, if a gradient is not finite; if a parameter would overflow, it keeps
  // its last finite value, the state starts afresh and the same is thrown.
  void step(Net<T>& net, const Optimizer& optimizer, std::size_t threads = 1);

  // The same, layer by layer: `descend` is called with the next step of every layer that is trained, and
  // returns whether all its parameters stayed finite.
  void step(Net<T>& net, const Optimizer& optimizer,
            const std::function<bool(std::size_t, const LayerUpdate<T>&)>& descend);

  // The step of the rule before the next, with room for its state, and the parameters that it moves.
  Update<T> prepare(const Net<T>& net, const Optimizer& optimizer);
  const std::vector<Part>& parts() const { return parts_; }
  // Takes over from the last of some steps that were taken from there.
  void advance_to(const Update<T>& last);

  void reset() { *this = {}; }
  // Starts afresh where the rule is another.
  void begin(const Optimizer& optimizer) {
    if (optimizer.rule != rule_) reset();
    rule_ = optimizer.rule;
  }

  // The rule whose state this is, updates so far, and its slots: `slots` arrays of one number per parameter.
  Rule rule() const { return rule_; }
  std::uint64_t steps() const { return steps_; }
  std::size_t slots() const { return slots_; }
  Buffer<T>& arena() { return arena_; }
  void restore(Rule rule, std::size_t slots, std::size_t parameters, std::uint64_t steps);

 private:
  Update<T> advanced(const Net<T>& net, const Optimizer& optimizer);
  void check_moved(bool all);
  double momentum_product(Optimizer optimizer);

  Rule rule_ = Rule::sgd;
  std::uint64_t steps_ = 0;
  std::size_t slots_ = 0;
  Buffer<T> arena_;
  std::vector<Part> parts_;
  // NAdam's product of momenta, of these steps by these constants.
  double momentum_product_ = 1;
  std::uint64_t product_steps_ = 0;
  Optimizer product_of_;
};

}  // namespace chainrule
