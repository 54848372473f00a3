// Compiled once per instruction set: CHAINRULE_KERNELS names the table that it fills, CHAINRULE_ISA the set.
// Includes no STL and gives every function internal linkage: a shared template compiled here could be the
// copy that the linker keeps, and an old processor would meet its instructions.
#include "chainrule/kernels.hpp"

// clang-format off: each file uses the ones before it
#include "kernels/vector.inl"
#include "kernels/math.inl"
#include "kernels/draw.inl"
#include "kernels/activation.inl"
#include "kernels/matmul.inl"
#include "kernels/loss.inl"
#include "kernels/update.inl"
#include "kernels/dense.inl"
#include "kernels/sparse.inl"
#include "kernels/regularize.inl"
#include "kernels/online.inl"
#include "kernels/tiny.inl"
#include "kernels/limits.inl"
// clang-format on

namespace chainrule {
namespace {

template <class T>
constexpr Kernels<T> table() {
  return {
      .affine = affine<T>,
      .activate = activate<T>,
      .activate_keeping_slopes = activate_keeping_slopes<T>,
      .add_noise = add_noise<T>,
      .activation_backward = activation_backward<T>,
      .backward_input = backward_input<T>,
      .backward_weights = backward_weights<T>,
      .sparse_affine = sparse_affine<T>,
      .sparse_backward_weights = sparse_backward_weights<T>,
      .pack_panels = pack_panels<T>,
      .descend = descend<T>,
      .magnitude = magnitude<T>,
      .loss = loss<T>,
      .regularize = regularize<T>,
      .penalty = penalty<T>,
      .limit_columns = limit_columns<T>,
      .update = update<T>,
      .all_finite = all_finite<T>,
      .tiny_gradient = tiny_gradient<T>,
      .tiny_train = tiny_train<T>,
      .exp = [](T* y, const T* x, std::size_t size) { map(y, x, size, [](Vec<T> v) { return exp<T>(v); }); },
      .log = [](T* y, const T* x, std::size_t size) { map(y, x, size, [](Vec<T> v) { return log<T>(v); }); },
      .multiply_adds = multiply_adds<T>,
      .triad = triad<T>,
  };
}

}  // namespace

extern const KernelSet CHAINRULE_KERNELS;
const KernelSet CHAINRULE_KERNELS = {CHAINRULE_ISA, table<float>(), table<double>()};

}  // namespace chainrule
