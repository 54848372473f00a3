// The table of hot loops: one function pointer each, filled once per instruction set.
// Raw pointers over row-major matrices: outputs first, sizes last; a stride counts elements between rows.
// Rows of activations and deltas are padded (see row_stride); inputs may be anyone's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chainrule/config.hpp"

namespace chainrule {

// Arenas start on a cache line, and rows of internal matrices are padded to whole ones, so that kernels
// may load full vectors.
inline constexpr std::size_t kAlignment = 64;

template <class T>
static constexpr std::size_t padded(std::size_t columns) {
  constexpr std::size_t lanes = kAlignment / sizeof(T);
  return (columns + lanes - 1) / lanes * lanes;
}

// Elements from row to row of an internal matrix. Wide rows take an odd number of cache lines: at a power of
// two, a column of the matrix would fall into one set of the cache.
template <class T>
static constexpr std::size_t row_stride(std::size_t columns) {
  constexpr std::size_t lanes = kAlignment / sizeof(T);
  const std::size_t lines = padded<T>(columns) / lanes;
  return (lines > 8 ? lines | 1 : lines) * lanes;
}

// The targets of some rows: values (rows, outputs), or one class index a row. Weights may be null.
template <class T>
struct Targets {
  const T* values = nullptr;
  std::ptrdiff_t stride = 0;
  const std::int32_t* labels = nullptr;
  const T* weights = nullptr;
};

// A block of rows, as the kernels read it.
template <class T>
struct Block {
  std::size_t rows = 0;
  const T* x = nullptr;
  std::ptrdiff_t x_stride = 0;
  Targets<T> targets;
};

// A step of an update rule: its state is one array of numbers after the other, `slot_stride` apart, and t
// counts from 1.
template <class T>
struct Update {
  Optimizer optimizer;
  T* state = nullptr;
  std::size_t slot_stride = 0;
  std::uint64_t t = 0;

  T* slot(std::size_t number) const { return state + number * slot_stride; }
};

// A net of few units and its planes: one row of `stride` elements a unit, one column a row of the minibatch.
template <class T>
struct TinyPlanes {
  T* activations = nullptr;
  T* deltas = nullptr;
};

// The gradient of a parameter is the sum of the products of these two rows.
template <class T>
struct TinyFactors {
  const T* activations = nullptr;
  const T* deltas = nullptr;
};

template <class T>
struct TinyNet {
  const Layer* layers = nullptr;
  std::size_t depth = 0;
  Loss loss = Loss::half_squared_error;
  Reduction reduction = Reduction::mean;
  bool bias = true;
  T* parameters = nullptr;
  T* gradients = nullptr;
  std::size_t size = 0;
  std::size_t weight_count = 0;

  std::size_t stride = 0;
  T* inputs = nullptr;
  const TinyPlanes<T>* planes = nullptr;    // of each layer
  const TinyFactors<T>* factors = nullptr;  // of each parameter
  T* yhat = nullptr;                        // of the outputs, as are the targets
  T* targets = nullptr;
};

template <class T>
static constexpr std::size_t loss_scratch(std::size_t outputs) {
  return 4 * outputs * (kAlignment / sizeof(T));
}

// How many multiply-adds were done, and the sum of their results: whoever asks for it has them all computed.
template <class T>
struct MultiplyAdds {
  std::size_t count;
  T sum;
};

template <class T>
struct Kernels {
  // y (rows, fan_out) = x (rows, fan_in) w (fan_in, fan_out) + bias (fan_out), or no bias where it is null.
  // The rows of w are w_stride apart.
  void (*affine)(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w,
                 std::size_t w_stride, const T* bias, std::size_t rows, std::size_t fan_in,
                 std::size_t fan_out);

  // a (rows, columns) = activation(h); a may be h.
  void (*activate)(Activation activation, T* a, std::ptrdiff_t a_stride, const T* h, std::ptrdiff_t h_stride,
                   std::size_t rows, std::size_t columns);

  // delta (rows, columns), dL/da on entry, becomes dL/dh, from the activation's output a. The softmax's is
  // the loss's affair.
  void (*activation_backward)(Activation activation, T* delta, std::ptrdiff_t delta_stride, const T* a,
                              std::ptrdiff_t a_stride, std::size_t rows, std::size_t columns);

  // dx (rows, fan_in) = delta (rows, fan_out) w^T, w (fan_in, fan_out).
  void (*backward_input)(T* dx, std::ptrdiff_t dx_stride, const T* delta, std::ptrdiff_t delta_stride,
                         const T* w, std::size_t rows, std::size_t fan_in, std::size_t fan_out);

  // dw (fan_in, fan_out) = x^T delta; dbias (fan_out) = column sums of delta, or none where it is null. Both
  // are added to what was there where `accumulate`.
  void (*backward_weights)(T* dw, T* dbias, const T* x, std::ptrdiff_t x_stride, const T* delta,
                           std::ptrdiff_t delta_stride, std::size_t rows, std::size_t fan_in,
                           std::size_t fan_out, bool accumulate);

  // Returns sum_i weight_i loss_i; where delta is not null, stores scale * weight_i * dloss_i/dlogits. The
  // scratch is loss_scratch<T>(outputs) long.
  double (*loss)(Loss loss, Activation output, T* delta, std::ptrdiff_t delta_stride, const T* logits,
                 std::ptrdiff_t logits_stride, Targets<T> targets, double scale, std::size_t rows,
                 std::size_t outputs, T* scratch);

  // g += l2 * w: the gradient of the penalty l2/2 sum w^2.
  void (*add_penalty)(T* g, const T* w, double l2, std::size_t size);

  // One update of `size` parameters. Returns false where a parameter would not be finite; those keep their
  // value.
  bool (*update)(T* w, const T* g, const Update<T>& step, std::size_t size);

  bool (*all_finite)(const T* x, std::size_t size);

  // The gradients of a block of rows, or their sum with those before. Returns sum_i weight_i loss_i.
  double (*tiny_gradient)(const TinyNet<T>& net, const Block<T>& block, double scale, bool accumulate);
  // Trains on the minibatches of a block, in order; `step` is the one before. Returns false where a number
  // was not finite: then neither are the parameters or the optimizer's state, and `loss` is not written.
  bool (*tiny_train)(const TinyNet<T>& net, const Block<T>& block, std::size_t batch_size, double l2,
                     Update<T> step, double& loss);

  // y = exp(x) and y = log(x), number by number: here so that the tests can measure their accuracy.
  void (*exp)(T* y, const T* x, std::size_t size);
  void (*log)(T* y, const T* x, std::size_t size);

  // The limits of the machine, for the benchmark: `rounds` times x = factor x + 1 - factor on numbers in
  // registers, and y (size) = x + factor z, from memory to memory.
  MultiplyAdds<T> (*multiply_adds)(T factor, std::size_t rounds);
  void (*triad)(T* y, const T* x, const T* z, T factor, std::size_t size);
};

// The kernels of one instruction set.
struct KernelSet {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace chainrule
