// The loss of a net on a data set, in chunks.
#pragma once

#include <limits>

#include "chainrule/interrupt.hpp"
#include "chainrule/passes.hpp"

namespace chainrule {

// A sum of losses and the weights it was taken with, so that means and sums come from the same pass.
struct LossSum {
  double loss = 0;
  double weight = 0;

  void add(const LossSum& other) {
    loss += other.loss;
    weight += other.weight;
  }
  // Rows of no weight, as only weights that change during a fit can be, have no loss, and not the best of
  // all.
  double reduced(Reduction reduction) const {
    if (weight == 0) return std::numeric_limits<double>::quiet_NaN();
    return reduction == Reduction::sum ? loss : loss / weight;
  }
};

// The space holds a chunk of the data: kChunkRows rows, or all of them.
template <class T>
LossSum evaluate(const Net<T>& net, const Dataset& data, Workspace<T>& space, BlockReader<T>& reader,
                 Interrupt& interrupt);

}  // namespace chainrule
