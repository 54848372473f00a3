#include "chainrule/passes.hpp"

#include <algorithm>

#include "chainrule/dispatch.hpp"

namespace chainrule {

template <class T>
Workspace<T>::Workspace(const Net<T>& net, std::size_t rows) : rows_(rows) {
  const auto& layers = net.layers();
  std::size_t size = rows * row_stride<T>(net.outputs()) + chainrule::loss_scratch<T>(net.outputs());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    size += 2 * rows * row_stride<T>(layers[l].fan_out);
  }
  arena_ = Buffer<T>(size);
  T* next = arena_.data();
  const auto take = [&next, rows](std::size_t columns) {
    const Plane<T> plane{next, static_cast<std::ptrdiff_t>(row_stride<T>(columns))};
    next += rows * row_stride<T>(columns);
    return plane;
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    activations_.push_back(take(layers[l].fan_out));
    deltas_.push_back(take(layers[l].fan_out));
  }
  logits_ = take(net.outputs());
  loss_scratch_ = next;
}

template <class T>
void forward(Workspace<T>& space, const Net<T>& net, const Block<T>& block, bool outputs, std::size_t first) {
  const Kernels<T>& kernel = kernels<T>();
  const T* x = block.x;
  std::ptrdiff_t x_stride = block.x_stride;
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    const bool last = l + 1 == net.layers().size();
    const Plane<T> a = space.activations(l).from_row(first);
    const Plane<T> h = last ? space.logits().from_row(first) : a;
    kernel.affine(h.data, h.stride, x, x_stride, net.weights(layer), net.biases(layer), block.rows,
                  layer.fan_in, layer.fan_out);
    if (!last || outputs) {
      kernel.activate(layer.activation, a.data, a.stride, h.data, h.stride, block.rows, layer.fan_out);
    }
    x = a.data;
    x_stride = a.stride;
  }
}

template <class T>
void preactivations(Workspace<T>& into, const Workspace<T>& space, const Net<T>& net, const Block<T>& block,
                    std::size_t first) {
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const Layer& layer = net.layers()[l];
    const Plane<T> x = l == 0 ? Plane<T>{} : space.activations(l - 1).from_row(first);
    const Plane<T> h = into.activations(l).from_row(first);
    kernels<T>().affine(h.data, h.stride, l == 0 ? block.x : x.data, l == 0 ? block.x_stride : x.stride,
                        net.weights(layer), net.biases(layer), block.rows, layer.fan_in, layer.fan_out);
  }
}

namespace {

template <class T>
double output_loss(const Workspace<T>& space, const Net<T>& net, const Block<T>& block, double scale,
                   std::size_t first, bool with_delta) {
  const std::size_t last = net.layers().size() - 1;
  const Plane<T> delta = with_delta ? space.deltas(last).from_row(first) : Plane<T>{};
  const Plane<T> logits = space.logits().from_row(first);
  return kernels<T>().loss(net.loss(), net.output(), delta.data, delta.stride, logits.data, logits.stride,
                           block.targets, scale, block.rows, net.outputs(), space.loss_scratch());
}

}  // namespace

template <class T>
double loss(const Workspace<T>& space, const Net<T>& net, const Block<T>& block, std::size_t first) {
  return output_loss(space, net, block, 1.0, first, false);
}

template <class T>
double backward(Workspace<T>& space, Net<T>& net, const Block<T>& block, double scale, std::size_t first) {
  const Kernels<T>& kernel = kernels<T>();
  const double total = output_loss(space, net, block, scale, first, true);
  for (std::size_t l = net.layers().size(); l-- > 0;) {
    const Layer& layer = net.layers()[l];
    const Plane<T> delta = space.deltas(l).from_row(first);
    const Plane<T> below = l == 0 ? Plane<T>{} : space.activations(l - 1).from_row(first);
    kernel.backward_weights(net.weight_gradients(layer), net.bias_gradients(layer),
                            l == 0 ? block.x : below.data, l == 0 ? block.x_stride : below.stride, delta.data,
                            delta.stride, block.rows, layer.fan_in, layer.fan_out);
    if (l == 0) break;
    const Plane<T> delta_below = space.deltas(l - 1).from_row(first);
    kernel.backward_input(delta_below.data, delta_below.stride, delta.data, delta.stride, net.weights(layer),
                          block.rows, layer.fan_in, layer.fan_out);
    kernel.activation_backward(net.layers()[l - 1].activation, delta_below.data, delta_below.stride,
                               below.data, below.stride, block.rows, layer.fan_in);
  }
  return total;
}

template <class T>
void predict(T* y, std::ptrdiff_t y_stride, const Net<T>& net, const Rows& x) {
  // Kept by each thread, so that predicting one row allocates nothing.
  thread_local BlockReader<T> reader;
  thread_local Buffer<T> hidden[2];
  const Kernels<T>& kernel = kernels<T>();
  std::size_t widest = 0;
  for (const Layer& layer : net.layers()) widest = std::max(widest, row_stride<T>(layer.fan_out));
  for (Buffer<T>& buffer : hidden) buffer.reserve(std::min(kChunkRows, x.rows) * widest);
  for_each_chunk({0, x.rows}, [&](const Batch& chunk) {
    const Block<T> block = reader.read(x, chunk);
    const T* a = block.x;
    std::ptrdiff_t a_stride = block.x_stride;
    for (std::size_t l = 0; l < net.layers().size(); ++l) {
      const Layer& layer = net.layers()[l];
      const bool last = l + 1 == net.layers().size();
      T* h = last ? y + static_cast<std::ptrdiff_t>(chunk.first) * y_stride : hidden[l % 2].data();
      const std::ptrdiff_t h_stride =
          last ? y_stride : static_cast<std::ptrdiff_t>(row_stride<T>(layer.fan_out));
      kernel.affine(h, h_stride, a, a_stride, net.weights(layer), net.biases(layer), block.rows, layer.fan_in,
                    layer.fan_out);
      kernel.activate(layer.activation, h, h_stride, h, h_stride, block.rows, layer.fan_out);
      a = h;
      a_stride = h_stride;
    }
  });
}

#define CHAINRULE_INSTANTIATE(T)                                                                   \
  template class Workspace<T>;                                                                     \
  template void forward(Workspace<T>&, const Net<T>&, const Block<T>&, bool, std::size_t);         \
  template void preactivations(Workspace<T>&, const Workspace<T>&, const Net<T>&, const Block<T>&, \
                               std::size_t);                                                       \
  template double loss(const Workspace<T>&, const Net<T>&, const Block<T>&, std::size_t);          \
  template double backward(Workspace<T>&, Net<T>&, const Block<T>&, double, std::size_t);          \
  template void predict(T*, std::ptrdiff_t, const Net<T>&, const Rows&);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
