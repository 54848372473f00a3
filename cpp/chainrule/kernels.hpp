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
// two, a column of the matrix would fall into one set of the cache. A single column is a row of its own.
template <class T>
static constexpr std::size_t row_stride(std::size_t columns) {
  if (columns == 1) return 1;
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

// Where the random numbers of a step come from: they are a function of the net's seed, the steps before, the
// layer, and of row and unit, so that neither threads nor the way through the net change them.
struct Draw {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

// Keys of one layer's numbers in one step: the output of SplitMix64 (Steele, Lea and Flood, 2014).
struct DrawKeys {
  std::uint32_t first;
  std::uint32_t second;
};
static inline DrawKeys keys_of(Draw draw, std::size_t layer) {
  std::uint64_t z = draw.seed + 0x9e3779b97f4a7c15u * (draw.step * 1024 + layer + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return {static_cast<std::uint32_t>(z), static_cast<std::uint32_t>(z >> 32)};
}

// Which outputs of a layer a step drops, in the columns from `first_column` on of the rows from `first_row`
// on.
struct Dropout {
  double share = 0;
  DrawKeys keys{};
  std::size_t units = 0;
  std::size_t first_row = 0;
  std::size_t first_column = 0;
};

// What becomes of a layer's sums: their activation, which is no softmax. Where there are `slopes`, whose rows
// are as far apart, they are kept, and outputs dropped, see activate_keeping_slopes.
template <class T>
struct ForwardEnd {
  Activation activation = Activation::identity;
  T* slopes = nullptr;
  Dropout dropout{};
};

// The activation through which deltas go back, and what its forward pass kept, see activation_backward.
template <class T>
struct BackwardEnd {
  Activation activation = Activation::identity;
  const T* kept = nullptr;
  std::ptrdiff_t kept_stride = 0;
  bool are_slopes = false;
};

// Rows that are mostly zero: what is stored of row i are the elements from starts[i] to before starts[i + 1],
// each in its column.
template <class T>
struct CompressedRows {
  const std::uint64_t* starts = nullptr;
  const std::int32_t* columns = nullptr;
  const T* values = nullptr;

  CompressedRows from_row(std::size_t row) const { return {starts + row, columns, values}; }
  std::size_t stored(std::size_t rows) const { return starts[rows] - starts[0]; }
};

// A block of rows, as the kernels read it: x, or what is stored of sparse inputs, by rows and, for gradients,
// by columns.
template <class T>
struct Block {
  std::size_t rows = 0;
  std::size_t first_row = 0;  // in the minibatch
  const T* x = nullptr;
  std::ptrdiff_t x_stride = 0;
  CompressedRows<T> stored{};
  CompressedRows<T> stored_by_column{};
  Targets<T> targets;
};

// A range of the parameters that an update moves; weights may decay where biases do not.
struct Part {
  std::size_t first;
  std::size_t count;
  bool biases;
};

// A step of an update rule: its state is one array of numbers after the other, `slot_stride` apart, and t
// counts from 1.
template <class T>
struct Update {
  Optimizer optimizer;
  T* state = nullptr;
  std::size_t slot_stride = 0;
  std::uint64_t t = 0;
  double momentum_product = 1;  // nadam: of its momenta of the steps 1 to t

  T* slot(std::size_t number) const { return state + number * slot_stride; }

  // The step of a part of the parameters.
  Update of(const Part& part) const {
    Update its = *this;
    if (part.biases && !optimizer.decay_biases) its.optimizer.weight_decay = 0;
    if (part.biases && !optimizer.l2_of_biases) its.optimizer.l2 = 0;
    if (state != nullptr) its.state += part.first;
    return its;
  }
};

// NAdam's momentum at step t: Dozat, 2016.
static inline double nadam_momentum(const Optimizer& optimizer, std::uint64_t t) {
  return optimizer.beta1 * (1 - 0.5 * __builtin_pow(0.96, static_cast<double>(t) * optimizer.momentum_decay));
}

// The step after.
template <class T>
static inline void advance(Update<T>& step) {
  ++step.t;
  if (step.optimizer.rule == Rule::nadam) step.momentum_product *= nadam_momentum(step.optimizer, step.t);
}

// A layer's parameters, or a range of its inputs' weights, and the step that moves them. Biases may be null.
template <class T>
struct LayerUpdate {
  T* weights = nullptr;
  Update<T> of_weights;
  T* biases = nullptr;
  Update<T> of_biases;
};

// A net of few units and its planes: one row of `stride` elements a unit, one column a row of the minibatch.
template <class T>
struct TinyPlanes {
  T* activations = nullptr;
  T* deltas = nullptr;
  T* slopes = nullptr;  // where the activation keeps them
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
  LossRule loss;
  Reduction reduction = Reduction::mean;
  bool bias = true;
  bool units_in_lanes = false;  // of its one hidden layer; the output is one
  T* parameters = nullptr;
  T* gradients = nullptr;
  std::size_t size = 0;
  std::size_t weight_count = 0;
  std::uint64_t seed = 0;

  std::size_t stride = 0;
  T* inputs = nullptr;
  const TinyPlanes<T>* planes = nullptr;    // of each layer
  const TinyFactors<T>* factors = nullptr;  // of each parameter
  const Part* parts = nullptr;              // that are trained
  std::size_t part_count = 0;
  T* yhat = nullptr;  // of the outputs, as are the targets
  T* targets = nullptr;
};

template <class T>
static constexpr std::size_t panel_room(std::size_t columns) {
  constexpr std::size_t widest = 4 * kAlignment / sizeof(T);  // of the instruction sets' panels
  return (columns + widest - 1) / widest * widest;
}

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
  // y (rows, fan_out) = activation(x (rows, fan_in) w (fan_in, fan_out) + bias (fan_out)), or no bias where
  // it is null. The rows of w are w_stride apart.
  void (*affine)(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w,
                 std::size_t w_stride, const T* bias, std::size_t rows, std::size_t fan_in,
                 std::size_t fan_out, const ForwardEnd<T>& end);

  // a (rows, columns) = activation(h); a may be h.
  void (*activate)(Activation activation, T* a, std::ptrdiff_t a_stride, const T* h, std::ptrdiff_t h_stride,
                   std::size_t rows, std::size_t columns);

  // The same in place, with da/dh in `slopes`, whose rows are as far apart. Dropped outputs are 0, as are
  // their slopes, and the others are scaled up as much.
  void (*activate_keeping_slopes)(Activation activation, T* a, T* slopes, std::ptrdiff_t stride,
                                  std::size_t rows, std::size_t columns, const Dropout& dropout);

  // y (rows, columns) = x + deviation * normal numbers, those of the rows from `first_row` on.
  void (*add_noise)(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, double deviation,
                    DrawKeys keys, std::size_t first_row, std::size_t rows, std::size_t columns);

  // delta (rows, columns), dL/da on entry, becomes dL/dh, from the activation's outputs or from the slopes
  // that were kept. The softmax's is the loss's affair.
  void (*activation_backward)(Activation activation, T* delta, std::ptrdiff_t delta_stride, const T* kept,
                              std::ptrdiff_t kept_stride, std::size_t rows, std::size_t columns,
                              bool are_slopes);

  // dx (rows, fan_in) = delta (rows, fan_out) w^T, w (fan_in, fan_out), taken back through the activation
  // below.
  void (*backward_input)(T* dx, std::ptrdiff_t dx_stride, const T* delta, std::ptrdiff_t delta_stride,
                         const T* w, std::size_t rows, std::size_t fan_in, std::size_t fan_out,
                         const BackwardEnd<T>& end);

  // dw (fan_in, fan_out) = x^T delta; dbias (fan_out) = column sums of delta, or none where it is null. Both
  // are added to what was there where `accumulate`. A single column of deltas is contiguous.
  void (*backward_weights)(T* dw, T* dbias, const T* x, std::ptrdiff_t x_stride, const T* delta,
                           std::ptrdiff_t delta_stride, std::size_t rows, std::size_t fan_in,
                           std::size_t fan_out, bool accumulate);

  // `affine` for sparse x.
  void (*sparse_affine)(T* y, std::ptrdiff_t y_stride, const CompressedRows<T>& x, const T* w,
                        std::size_t w_stride, const T* bias, std::size_t rows, std::size_t fan_out,
                        const ForwardEnd<T>& end);

  // `backward_weights` for sparse x, of which the columns are given as rows; without biases.
  void (*sparse_backward_weights)(T* dw, const CompressedRows<T>& x_by_column, const T* delta,
                                  std::ptrdiff_t delta_stride, std::size_t fan_in, std::size_t fan_out,
                                  bool accumulate);

  // delta (rows, columns) in the order in which `descend` reads it; takes panel_room<T>(columns) numbers a
  // row.
  void (*pack_panels)(T* panels, const T* delta, std::ptrdiff_t delta_stride, std::size_t rows,
                      std::size_t columns);

  // Moves the parameters of a layer of several outputs by their gradients, those of backward_weights, which
  // are finite and stored nowhere. Returns what `update` would.
  bool (*descend)(const LayerUpdate<T>& update, const T* x, std::ptrdiff_t x_stride, const T* panels,
                  std::size_t rows, std::size_t fan_in, std::size_t fan_out);

  // The sum of the magnitudes of x (rows, columns); NaN where there is one.
  T (*magnitude)(const T* x, std::ptrdiff_t x_stride, std::size_t rows, std::size_t columns);

  // Returns sum_i weight_i loss_i; where delta is not null, stores scale * weight_i * dloss_i/dlogits. The
  // scratch is loss_scratch<T>(outputs) long.
  double (*loss)(LossRule loss, Activation output, T* delta, std::ptrdiff_t delta_stride, const T* logits,
                 std::ptrdiff_t logits_stride, Targets<T> targets, double scale, std::size_t rows,
                 std::size_t outputs, T* scratch);

  // Adds the gradients of the penalties l1 sum |w| + l2/2 sum w^2 and clips, for `size` parameters of which
  // the first `weights` are no biases. Gradients are finite.
  void (*regularize)(T* g, const T* w, const Regularization& settings, std::size_t weights, std::size_t size);

  // What a penalty per weight, l2/2 sum w^2, adds to a minibatch's loss, in double; 0 if it is not per
  // weight.
  double (*penalty)(const T* w, const Regularization& settings, std::size_t weights, std::size_t size);

  // Scales every column of w (fan_in, fan_out) that is longer than `most` down to it.
  void (*limit_columns)(T* w, double most, std::size_t fan_in, std::size_t fan_out);

  // One update of `size` parameters. Returns false where a parameter would not be finite; those keep their
  // value.
  bool (*update)(T* w, const T* g, const Update<T>& step, std::size_t size);

  bool (*all_finite)(const T* x, std::size_t size);

  // The gradients of a block of rows, or their sum with those before. Returns sum_i weight_i loss_i.
  double (*tiny_gradient)(const TinyNet<T>& net, const Block<T>& block, double scale, bool accumulate,
                          std::uint64_t step);
  // Trains on the minibatches of a block, in order; `step` is the one before, and then the last. Returns
  // false where a number was not finite: then neither are the parameters or the optimizer's state, and `loss`
  // is not written. The minibatches' penalties are added to `penalty`.
  bool (*tiny_train)(const TinyNet<T>& net, const Block<T>& block, std::size_t batch_size,
                     const Regularization& settings, Update<T>& step, double& loss, double& penalty);

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
