// Derivatives with respect to the inputs: of the loss, and of the outputs themselves.
#pragma once

#include "chainrule/dataset.hpp"
#include "chainrule/interrupt.hpp"
#include "chainrule/net.hpp"
#include "chainrule/split.hpp"

namespace chainrule {

// to (rows, features) = dL/dx, L the loss of the data set. Throws Interrupted.
template <class T>
void loss_input_gradient(T* to, const Net<T>& net, const Dataset& data, Interrupt& interrupt);

// to (rows, outputs.count, features) = dyhat_j/dx for those outputs j. Throws Interrupted.
template <class T>
void output_input_gradient(T* to, const Net<T>& net, const Rows& x, Range outputs, Interrupt& interrupt);

}  // namespace chainrule
