// What a layer multiplies with its weights: the activations below, or a block's inputs, dense or sparse.
#pragma once

#include <cstddef>

#include "chainrule/passes.hpp"

namespace chainrule {

template <class T>
struct LayerInput {
  Plane<const T> x;
  CompressedRows<T> stored{};
  CompressedRows<T> stored_by_column{};

  bool is_sparse() const { return stored.starts != nullptr; }
  // Floating-point operations of a product with the layer's weights; of sparse inputs, roughly those of the
  // gradient.
  double operations(const Layer& layer, std::size_t rows) const {
    if (!is_sparse()) return Net<T>::operations(layer, rows);
    return 2 * static_cast<double>((stored.stored(rows) + layer.fan_in) * layer.fan_out);
  }
};

template <class T>
LayerInput<T> inputs_of(const Block<T>& block) {
  return {{block.x, block.x_stride}, block.stored, block.stored_by_column};
}

template <class T>
LayerInput<T> inputs_of(const Plane<T>& activations) {
  return {{activations.data, activations.stride}};
}

// What a layer was given.
template <class T>
LayerInput<T> inputs_of(const Workspace<T>& space, const Block<T>& block, std::size_t layer,
                        std::size_t first) {
  return layer == 0 ? inputs_of(block) : inputs_of(space.activations(layer - 1).from_row(first));
}

}  // namespace chainrule
