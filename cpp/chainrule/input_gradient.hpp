// Derivatives with respect to the inputs: of the loss, and of the outputs themselves.
#pragma once

#include "chainrule/dataset.hpp"
#include "chainrule/net.hpp"
#include "chainrule/split.hpp"

namespace chainrule {

// to (rows, features) = dL/dx, L the loss of the data set.
template <class T>
void loss_input_gradient(T* to, const Net<T>& net, const Dataset& data);

// to (rows, outputs.count, features) = dyhat_j/dx for those outputs j.
template <class T>
void output_input_gradient(T* to, const Net<T>& net, const Rows& x, Range outputs);

}  // namespace chainrule
