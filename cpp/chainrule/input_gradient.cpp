#include "chainrule/input_gradient.hpp"

#include <algorithm>

#include "chainrule/dispatch.hpp"
#include "chainrule/passes.hpp"

namespace chainrule {
namespace {

// A chunk goes forward once; then deltas of the outputs go back as often as they are needed.
template <class T>
class Differentiator {
 public:
  Differentiator(const Net<T>& net, std::size_t rows, Interrupt& interrupt)
      : net_(net), space_(net, std::min(rows, kChunkRows)), interrupt_(interrupt) {}

  void forward(const Block<T>& block) {
    rows_ = block.rows;
    chainrule::forward(space_, net_, block, true, 0, interrupt_, Pass::derivative);
  }

  // The outputs' deltas become those of the loss, or dyhat_j/dh.
  void choose_loss(const Block<T>& block, double scale) {
    const Plane<T> delta = output_deltas(), logits = space_.logits();
    kernels<T>().loss(net_.loss_rule(), net_.output(), delta.data, delta.stride, logits.data, logits.stride,
                      block.targets, scale, block.rows, net_.outputs(), space_.loss_scratch());
  }
  void choose_output(std::size_t j) {
    const Plane<T> yhat = space_.activations(net_.layers().size() - 1);
    for (std::size_t i = 0; i < rows_; ++i) {
      const T* y = yhat.from_row(i).data;
      T* delta = output_deltas().from_row(i).data;
      if (net_.output() == Activation::softmax) {
        for (std::size_t k = 0; k < net_.outputs(); ++k) delta[k] = y[j] * ((j == k ? T(1) : T(0)) - y[k]);
      } else {
        T value = space_.logits().from_row(i).data[j];
        std::fill_n(delta, net_.outputs(), T(0));
        kernels<T>().activate_keeping_slopes(net_.output(), &value, delta + j, 1, 1, 1, {});
      }
    }
  }

  // From the outputs' deltas to the inputs, whose rows are `stride` apart.
  void backward(T* dx, std::size_t stride) {
    backward_deltas(space_, net_, rows_, 0, interrupt_);
    const Layer& first = net_.layers().front();
    const Plane<T> delta = space_.deltas(0);
    kernels<T>().backward_input(dx, static_cast<std::ptrdiff_t>(stride), delta.data, delta.stride,
                                net_.weights(first), rows_, first.fan_in, first.fan_out, {});
  }

 private:
  Plane<T> output_deltas() const { return space_.deltas(net_.layers().size() - 1); }

  const Net<T>& net_;
  Workspace<T> space_;
  Interrupt& interrupt_;
  std::size_t rows_ = 0;
};

}  // namespace

template <class T>
void loss_input_gradient(T* to, const Net<T>& net, const Dataset& data, Interrupt& interrupt) {
  Differentiator<T> differentiator(net, data.x.rows, interrupt);
  BlockReader<T> reader;
  const Batch all{0, data.x.rows};
  const double scale = gradient_scale(net.reduction(), reader.weight_sum(data, all));
  for_each_chunk(all, [&](const Batch& chunk) {
    const Block<T> block = reader.read(data, chunk);
    differentiator.forward(block);
    differentiator.choose_loss(block, scale);
    differentiator.backward(to + chunk.first * net.features(), net.features());
  });
}

template <class T>
void output_input_gradient(T* to, const Net<T>& net, const Rows& x, Range outputs, Interrupt& interrupt) {
  Differentiator<T> differentiator(net, x.rows, interrupt);
  BlockReader<T> reader;
  const std::size_t stride = outputs.count * net.features();
  for_each_chunk({0, x.rows}, [&](const Batch& chunk) {
    differentiator.forward(reader.read(x, chunk));
    for (std::size_t j = 0; j < outputs.count; ++j) {
      differentiator.choose_output(outputs.first + j);
      differentiator.backward(to + chunk.first * stride + j * net.features(), stride);
    }
  });
}

#define CHAINRULE_INSTANTIATE(T)                                                    \
  template void loss_input_gradient(T*, const Net<T>&, const Dataset&, Interrupt&); \
  template void output_input_gradient(T*, const Net<T>&, const Rows&, Range, Interrupt&);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
