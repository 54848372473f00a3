#include "chainrule/passes.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "chainrule/dispatch.hpp"
#include "chainrule/layer_input.hpp"
#include "chainrule/split.hpp"

namespace chainrule {

template <class T>
Workspace<T>::Workspace(const Net<T>& net, std::size_t rows) : rows_(rows) {
  const auto& layers = net.layers();
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 64;
  const auto size_of = [rows](std::size_t columns) {
    if (rows > most / row_stride<T>(columns)) throw std::bad_alloc();
    return padded<T>(rows * row_stride<T>(columns));
  };
  std::size_t size = size_of(net.outputs()) + chainrule::loss_scratch<T>(net.outputs());
  // The output's slopes are the loss's affair.
  const auto keeps = [&layers](std::size_t l) { return l + 1 < layers.size() && keeps_slopes(layers[l]); };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    size += (keeps(l) ? 3 : 2) * size_of(layers[l].fan_out);
    if (size > most) throw std::bad_alloc();
  }
  arena_ = Buffer<T>(size);
  T* next = arena_.data();
  const auto take = [&next, size_of](std::size_t columns) {
    const Plane<T> plane{next, static_cast<std::ptrdiff_t>(row_stride<T>(columns))};
    next += size_of(columns);
    return plane;
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    activations_.push_back(take(layers[l].fan_out));
    deltas_.push_back(take(layers[l].fan_out));
    slopes_.push_back(keeps(l) ? take(layers[l].fan_out) : Plane<T>{});
  }
  logits_ = take(net.outputs());
  loss_scratch_ = next;
}

namespace {

// Columns that a thread takes at once: the widest tile of the kernels.
constexpr std::size_t kColumns = 64;
// Rows that it takes: a multiple of the height of a tile.
constexpr std::size_t kRows = 24;

// A product of the largest nets takes longer than a user who pressed Ctrl-C waits: it is done in pieces, with
// a look between them.
constexpr double kPiece = 1e9;

// split, in such pieces. Throws Interrupted.
template <class Work>
void split_long(std::size_t threads, double operations, std::size_t size, std::size_t grain,
                Interrupt& interrupt, Work work) {
  const std::size_t grains = (size + grain - 1) / grain;
  const std::size_t pieces =
      std::clamp<std::size_t>(static_cast<std::size_t>(operations / kPiece), 1, grains);
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    const std::size_t first = grains * piece / pieces * grain;
    const std::size_t last = std::min(size, grains * (piece + 1) / pieces * grain);
    split(threads, operations / static_cast<double>(pieces), last - first, grain,
          [&](Range range) { work(Range{first + range.first, range.count}); });
    interrupt.check(operations / static_cast<double>(pieces));
  }
}

// Calls work(rows, columns) for parts of a product of that many rows and columns. Columns are shared where
// there are enough, for then no two threads read the same weights.
template <class Work>
void split_product(std::size_t threads, double operations, std::size_t rows, std::size_t columns,
                   Interrupt& interrupt, Work work) {
  if (columns >= 2 * kColumns || rows <= kRows) {
    split_long(threads, operations, columns, kColumns, interrupt,
               [&](Range range) { work(Range{0, rows}, range); });
  } else {
    split_long(threads, operations, rows, kRows, interrupt,
               [&](Range range) { work(range, Range{0, columns}); });
  }
}

// y = x W + b and its end, for all rows.
template <class T>
void layer_forward(const Net<T>& net, const Layer& layer, Plane<T> y, const LayerInput<T>& input,
                   const ForwardEnd<T>& end, std::size_t rows, std::size_t threads, Interrupt& interrupt) {
  split_product(
      threads, input.operations(layer, rows), rows, layer.fan_out, interrupt, [&](Range r, Range c) {
        const Plane<T> to = y.from_row(r.first);
        const T* bias = net.biases(layer) == nullptr ? nullptr : net.biases(layer) + c.first;
        const T* weights = net.weights(layer) + c.first;
        ForwardEnd<T> part = end;
        if (end.slopes != nullptr)
          part.slopes = Plane<T>{end.slopes, y.stride}.from_row(r.first).data + c.first;
        part.dropout.first_row += r.first;
        part.dropout.first_column += c.first;
        if (input.is_sparse()) {
          kernels<T>().sparse_affine(to.data + c.first, to.stride, input.stored.from_row(r.first), weights,
                                     layer.fan_out, bias, r.count, c.count, part);
        } else {
          kernels<T>().affine(to.data + c.first, to.stride, input.x.from_row(r.first).data, input.x.stride,
                              weights, layer.fan_out, bias, r.count, layer.fan_in, c.count, part);
        }
      });
}

}  // namespace

template <class T>
Block<T> with_input_noise(const Net<T>& net, Block<T> block, std::size_t batch_size, std::uint64_t step,
                          Buffer<T>& buffer) {
  if (net.input_noise() == 0) return block;
  const std::size_t columns = net.features();
  const auto stride = static_cast<std::ptrdiff_t>(columns);
  buffer.reserve(block.rows * columns);
  if (block.x == nullptr) {
    scatter(buffer.data(), block.stored, block.rows, columns);
    block.stored = block.stored_by_column = {};
    block.x = buffer.data(), block.x_stride = stride;
  }
  for (std::size_t first = 0; first < block.rows; first += batch_size, ++step) {
    // One layer more than there is.
    const DrawKeys keys = keys_of({net.seed(), step}, net.layers().size());
    kernels<T>().add_noise(buffer.data() + first * columns, stride,
                           block.x + static_cast<std::ptrdiff_t>(first) * block.x_stride, block.x_stride,
                           net.input_noise(), keys, block.first_row, std::min(batch_size, block.rows - first),
                           columns);
  }
  block.x = buffer.data();
  block.x_stride = stride;
  return block;
}

template <class T>
void forward(Workspace<T>& space, const Net<T>& net, const Block<T>& block, bool outputs, std::size_t first,
             Interrupt& interrupt, Pass pass, std::uint64_t step) {
  LayerInput<T> x = inputs_of(block);
  const std::size_t last = net.layers().size() - 1;
  for (std::size_t l = 0; l < last; ++l) {
    const Layer& layer = net.layers()[l];
    const Plane<T> a = space.activations(l).from_row(first);
    ForwardEnd<T> end{layer.activation};
    if (pass != Pass::inference && space.slopes(l).data != nullptr) {
      end.slopes = space.slopes(l).from_row(first).data;
      if (pass == Pass::training)
        end.dropout = {layer.dropout, keys_of({net.seed(), step}, l), layer.fan_out, block.first_row, 0};
    }
    layer_forward(net, layer, a, x, end, block.rows, space.threads(), interrupt);
    x = inputs_of(a);
  }
  const Plane<T> a = space.activations(last).from_row(first), h = space.logits().from_row(first);
  layer_forward(net, net.layers()[last], h, x, {}, block.rows, space.threads(), interrupt);
  if (!outputs) return;
  kernels<T>().activate(net.output(), a.data, a.stride, h.data, h.stride, block.rows, net.outputs());
}

template <class T>
void preactivations(Workspace<T>& into, const Workspace<T>& space, const Net<T>& net, const Block<T>& block,
                    std::size_t first) {
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    Interrupt never;
    layer_forward(net, layer, into.activations(l).from_row(first), inputs_of(space, block, l, first), {},
                  block.rows, 1, never);
  }
}

namespace {

template <class T>
double output_loss(const Workspace<T>& space, const Net<T>& net, const Block<T>& block, double scale,
                   std::size_t first, bool with_delta) {
  const std::size_t last = net.layers().size() - 1;
  const Plane<T> delta = with_delta ? space.deltas(last).from_row(first) : Plane<T>{};
  const Plane<T> logits = space.logits().from_row(first);
  return kernels<T>().loss(net.loss_rule(), net.output(), delta.data, delta.stride, logits.data,
                           logits.stride, block.targets, scale, block.rows, net.outputs(),
                           space.loss_scratch());
}

}  // namespace

template <class T>
double loss(const Workspace<T>& space, const Net<T>& net, const Block<T>& block, std::size_t first) {
  return output_loss(space, net, block, 1.0, first, false);
}

template <class T>
double output_deltas(Workspace<T>& space, const Net<T>& net, const Block<T>& block, double scale,
                     std::size_t first) {
  return output_loss(space, net, block, scale, first, true);
}

namespace {

// Calls work(range, bias) for ranges of a layer's inputs, shared among threads in multiples of a line of the
// cache, so that none writes where another does; the first of them takes the biases with it.
template <class Work>
void split_inputs(std::size_t threads, double operations, std::size_t fan_in, Interrupt& interrupt,
                  Work work) {
  split_long(threads, operations, fan_in, 2 * kRows, interrupt,
             [&](Range range) { work(range, range.first == 0); });
}

// The deltas of the layer below, of which the activations or the slopes were kept.
template <class T>
void layer_backward(Workspace<T>& space, const Net<T>& net, std::size_t l, std::size_t rows,
                    std::size_t first, Interrupt& interrupt) {
  const Layer &layer = net.layers()[l], &under = net.layers()[l - 1];
  const bool slopes = keeps_slopes(under);
  const Plane<T> delta = space.deltas(l).from_row(first), below = space.deltas(l - 1).from_row(first);
  const Plane<T> kept = (slopes ? space.slopes(l - 1) : space.activations(l - 1)).from_row(first);
  split_product(
      space.threads(), net.operations(layer, rows), rows, layer.fan_in, interrupt, [&](Range r, Range c) {
        const BackwardEnd<T> end{under.activation, kept.from_row(r.first).data + c.first, kept.stride,
                                 slopes};
        kernels<T>().backward_input(
            below.from_row(r.first).data + c.first, below.stride, delta.from_row(r.first).data, delta.stride,
            net.weights(layer) + c.first * layer.fan_out, r.count, c.count, layer.fan_out, end);
      });
}

}  // namespace

template <class T>
void backward_deltas(Workspace<T>& space, const Net<T>& net, std::size_t rows, std::size_t first,
                     Interrupt& interrupt) {
  for (std::size_t l = net.layers().size(); l-- > 1;) layer_backward(space, net, l, rows, first, interrupt);
}

template <class T>
void gradients(const Workspace<T>& space, Net<T>& net, const Block<T>& block, bool accumulate,
               std::size_t first, Interrupt& interrupt) {
  for (std::size_t l = net.layers().size(); l-- > 0;) {
    const Layer& layer = net.layers()[l];
    const Plane<T> delta = space.deltas(l).from_row(first);
    const LayerInput<T> input = inputs_of(space, block, l, first);
    split_inputs(
        space.threads(), input.operations(layer, block.rows), layer.fan_in, interrupt,
        [&](Range range, bool biases) {
          T* dw = net.weight_gradients(layer) + range.first * layer.fan_out;
          T* dbias = biases ? net.bias_gradients(layer) : nullptr;
          if (!input.is_sparse()) {
            kernels<T>().backward_weights(dw, dbias, input.x.data + range.first, input.x.stride, delta.data,
                                          delta.stride, block.rows, range.count, layer.fan_out, accumulate);
            return;
          }
          kernels<T>().sparse_backward_weights(dw, input.stored_by_column.from_row(range.first), delta.data,
                                               delta.stride, range.count, layer.fan_out, accumulate);
          if (dbias == nullptr) return;
          kernels<T>().backward_weights(dw, dbias, nullptr, 0, delta.data, delta.stride, block.rows, 0,
                                        layer.fan_out, accumulate);
        });
  }
}

template <class T>
double backward(Workspace<T>& space, Net<T>& net, const Block<T>& block, double scale, bool accumulate,
                std::size_t first, Interrupt& interrupt) {
  const double total = output_deltas(space, net, block, scale, first);
  backward_deltas(space, net, block.rows, first, interrupt);
  gradients(space, net, block, accumulate, first, interrupt);
  return total;
}

template <class T>
bool gradients_are_bounded(const Workspace<T>& space, const Net<T>& net, const Block<T>& block) {
  // |sum_i x_i delta_i| <= sum_i |x_i| sum_i |delta_i|
  const T most = std::sqrt(std::numeric_limits<T>::max()) / 16;
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    const Plane<const T> x = inputs_of(space, block, l, 0).x;
    const Plane<T> delta = space.deltas(l);
    const T deltas = kernels<T>().magnitude(delta.data, delta.stride, block.rows, layer.fan_out);
    const T inputs = kernels<T>().magnitude(x.data, x.stride, block.rows, layer.fan_in);
    if (!(deltas < most && inputs < most && inputs * deltas < most)) return false;
  }
  return true;
}

template <class T>
bool descend(const Workspace<T>& space, Net<T>& net, const Block<T>& block, std::size_t l,
             const LayerUpdate<T>& update, T* panels) {
  const Layer& layer = net.layers()[l];
  const Kernels<T>& kernel = kernels<T>();
  const Plane<T> delta = space.deltas(l);
  const Plane<const T> x = inputs_of(space, block, l, 0).x;
  if (layer.fan_out == 1) {
    T *g = net.weight_gradients(layer), *bias = net.bias_gradients(layer);
    kernel.backward_weights(g, bias, x.data, x.stride, delta.data, delta.stride, block.rows, layer.fan_in, 1,
                            false);
    const bool moved = kernel.update(update.weights, g, update.of_weights, layer.fan_in);
    return (bias == nullptr || kernel.update(update.biases, bias, update.of_biases, 1)) && moved;
  }
  kernel.pack_panels(panels, delta.data, delta.stride, block.rows, layer.fan_out);
  std::atomic<bool> moved = true;
  Interrupt never;  // between the layers' updates there are no parameters to be left with
  split_inputs(space.threads(), net.operations(layer, block.rows), layer.fan_in, never,
               [&](Range range, bool biases) {
                 LayerUpdate<T> part = update;
                 part.weights += range.first * layer.fan_out;
                 if (part.of_weights.state != nullptr) part.of_weights.state += range.first * layer.fan_out;
                 if (!biases) part.biases = nullptr;
                 if (!kernel.descend(part, x.data + range.first, x.stride, panels, block.rows, range.count,
                                     layer.fan_out))
                   moved.store(false, std::memory_order_relaxed);
               });
  return moved;
}

namespace {

// What a prediction needs: the inputs of a chunk, and the layer before and after.
template <class T>
struct Scratch {
  BlockReader<T> reader;
  Buffer<T> hidden[2];
};

template <class T>
void predict_chunk(Scratch<T>& scratch, T* y, std::ptrdiff_t y_stride, const Net<T>& net, const Rows& x,
                   const Batch& chunk, Interrupt& interrupt, std::size_t threads) {
  std::size_t widest = 0;
  for (const Layer& layer : net.layers()) widest = std::max(widest, row_stride<T>(layer.fan_out));
  for (Buffer<T>& buffer : scratch.hidden) buffer.reserve(chunk.count * widest);
  const Block<T> block = scratch.reader.read(x, chunk);
  LayerInput<T> a = inputs_of(block);
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    const bool last = l + 1 == net.layers().size();
    const Plane<T> h = last ? Plane<T>{y, y_stride}.from_row(chunk.first)
                            : Plane<T>{scratch.hidden[l % 2].data(),
                                       static_cast<std::ptrdiff_t>(row_stride<T>(layer.fan_out))};
    // A softmax takes whole rows.
    const bool apart = layer.activation == Activation::softmax;
    const ForwardEnd<T> end{apart ? Activation::identity : layer.activation};
    layer_forward(net, layer, h, a, end, block.rows, threads, interrupt);
    if (apart)
      kernels<T>().activate(layer.activation, h.data, h.stride, h.data, h.stride, block.rows, layer.fan_out);
    a = inputs_of(h);
  }
}

}  // namespace

template <class T>
void predict(T* y, std::ptrdiff_t y_stride, const Net<T>& net, const Rows& x, Interrupt& interrupt,
             std::size_t threads) {
  // Kept by each thread, so that predicting one row allocates nothing; taken away while it is used, for the
  // handler of a signal may predict in between.
  thread_local std::unique_ptr<Scratch<T>> kept;
  std::unique_ptr<Scratch<T>> scratch = std::move(kept);
  if (scratch == nullptr) scratch = std::make_unique<Scratch<T>>();
  // Threads share a chunk's products: a thread's own memory, as a chunk each would need, cannot be had or
  // refused.
  for_each_chunk({0, x.rows}, [&](const Batch& chunk) {
    predict_chunk(*scratch, y, y_stride, net, x, chunk, interrupt, threads);
  });
  kept = std::move(scratch);
}

#define CHAINRULE_INSTANTIATE(T)                                                                            \
  template Block<T> with_input_noise(const Net<T>&, Block<T>, std::size_t, std::uint64_t, Buffer<T>&);      \
  template class Workspace<T>;                                                                              \
  template void forward(Workspace<T>&, const Net<T>&, const Block<T>&, bool, std::size_t, Interrupt&, Pass, \
                        std::uint64_t);                                                                     \
  template void preactivations(Workspace<T>&, const Workspace<T>&, const Net<T>&, const Block<T>&,          \
                               std::size_t);                                                                \
  template double loss(const Workspace<T>&, const Net<T>&, const Block<T>&, std::size_t);                   \
  template double output_deltas(Workspace<T>&, const Net<T>&, const Block<T>&, double, std::size_t);        \
  template void backward_deltas(Workspace<T>&, const Net<T>&, std::size_t, std::size_t, Interrupt&);        \
  template void gradients(const Workspace<T>&, Net<T>&, const Block<T>&, bool, std::size_t, Interrupt&);    \
  template double backward(Workspace<T>&, Net<T>&, const Block<T>&, double, bool, std::size_t, Interrupt&); \
  template bool gradients_are_bounded(const Workspace<T>&, const Net<T>&, const Block<T>&);                 \
  template bool descend(const Workspace<T>&, Net<T>&, const Block<T>&, std::size_t, const LayerUpdate<T>&,  \
                        T*);                                                                                \
  template void predict(T*, std::ptrdiff_t, const Net<T>&, const Rows&, Interrupt&, std::size_t);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
