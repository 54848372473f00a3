// Nets of a few units, trained with the rows of a minibatch in the lanes of vectors (kernels/tiny.inl).
#pragma once

#include <cstddef>
#include <vector>

#include "chainrule/dataset.hpp"
#include "chainrule/update.hpp"

namespace chainrule {

// The planes of a tiny net, for minibatches or chunks of up to `rows` rows.
template <class T>
class Tiny {
 public:
  // Whether lanes of rows pay: where rows of weights would leave most lanes empty, and minibatches would not.
  static bool suits(const Net<T>& net, std::size_t batch_size);

  Tiny(Net<T>& net, std::size_t rows);
  Tiny(const Tiny&) = delete;
  Tiny& operator=(const Tiny&) = delete;

  // Fills the net's gradients from a block, or adds to them, after so many steps. Returns the weighted sum of
  // the losses.
  double gradient(const Block<T>& block, double scale, bool accumulate, std::uint64_t step);

  // Trains on the minibatches of a block, in order, whose penalties are added up. Returns false, having
  // changed neither net nor state, where a number was not finite. Blocks are dense: sparse ones have more
  // features than it suits (is_mostly_zero).
  bool train(const Block<T>& block, std::size_t batch_size, OptimizerState<T>& state,
             const Optimizer& optimizer, const Regularization& settings, double& loss, double& penalty);

 private:
  Net<T>& net_;
  TinyNet<T> view_;
  Buffer<T> arena_;
  std::vector<TinyPlanes<T>> planes_;
  std::vector<TinyFactors<T>> factors_;
  Buffer<T> parameters_before_;
  Buffer<T> state_before_;
};

}  // namespace chainrule
