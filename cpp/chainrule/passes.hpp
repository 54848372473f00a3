// The forward and backward pass of a block of rows through the whole net.
#pragma once

#include <cstddef>
#include <vector>

#include "chainrule/dataset.hpp"
#include "chainrule/interrupt.hpp"
#include "chainrule/net.hpp"

namespace chainrule {

// A matrix in a workspace: `stride` elements from row to row.
template <class T>
struct Plane {
  T* data = nullptr;
  std::ptrdiff_t stride = 0;

  Plane from_row(std::size_t row) const { return {data + static_cast<std::ptrdiff_t>(row) * stride, stride}; }
};

// What a forward pass is for: training and derivatives need slopes for the way back, and training drops
// outputs.
enum class Pass { inference, derivative, training };

// What one pass leaves behind, for up to `rows` rows: each layer's activations and deltas (dL/dh), its slopes
// (da/dh) where the activations do not tell them, and the output's logits (its h).
template <class T>
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Net<T>& net, std::size_t rows);

  std::size_t rows() const { return rows_; }
  // The most threads that passes through this workspace may use.
  std::size_t threads() const { return threads_; }
  void use_threads(std::size_t most) { threads_ = most; }
  Plane<T> activations(std::size_t layer) const { return activations_[layer]; }
  Plane<T> deltas(std::size_t layer) const { return deltas_[layer]; }
  Plane<T> slopes(std::size_t layer) const { return slopes_[layer]; }
  Plane<T> logits() const { return logits_; }
  T* loss_scratch() const { return loss_scratch_; }

 private:
  std::size_t rows_ = 0;
  std::size_t threads_ = 1;
  Buffer<T> arena_;
  std::vector<Plane<T>> activations_;
  std::vector<Plane<T>> deltas_;
  std::vector<Plane<T>> slopes_;
  Plane<T> logits_;
  T* loss_scratch_ = nullptr;
};

// A block of minibatches of `batch_size` rows, or a part of one, with the noise that training puts on its
// inputs from that step on: in the buffer, or as it was where the net has none.
template <class T>
Block<T> with_input_noise(const Net<T>& net, Block<T> block, std::size_t batch_size, std::uint64_t step,
                          Buffer<T>& buffer);

// Fills the activations and logits of the workspace from row `first` on. The loss takes the logits: only
// where `outputs` are wanted is the output layer's activation computed here. `step`, for training, is the
// number of steps before. Throws Interrupted.
template <class T>
void forward(Workspace<T>& space, const Net<T>& net, const Block<T>& block, bool outputs, std::size_t first,
             Interrupt& interrupt, Pass pass = Pass::inference, std::uint64_t step = 0);

// Fills the activations of `into` with the preactivations behind those of `space`, which keeps hidden
// activations only: they are computed again.
template <class T>
void preactivations(Workspace<T>& into, const Workspace<T>& space, const Net<T>& net, const Block<T>& block,
                    std::size_t first = 0);

// The weighted sum of the losses of the rows that the last forward pass put at `first`.
template <class T>
double loss(const Workspace<T>& space, const Net<T>& net, const Block<T>& block, std::size_t first = 0);

// The same sum; fills the output's deltas, those of scale * weight_i * loss_i.
template <class T>
double output_deltas(Workspace<T>& space, const Net<T>& net, const Block<T>& block, double scale,
                     std::size_t first = 0);

// Fills the deltas of all other layers from the output's. Throws Interrupted.
template <class T>
void backward_deltas(Workspace<T>& space, const Net<T>& net, std::size_t rows, std::size_t first,
                     Interrupt& interrupt);

// Fills the net's gradients from the deltas, or adds to them. Throws Interrupted.
template <class T>
void gradients(const Workspace<T>& space, Net<T>& net, const Block<T>& block, bool accumulate,
               std::size_t first, Interrupt& interrupt);

// All three; returns the loss.
template <class T>
double backward(Workspace<T>& space, Net<T>& net, const Block<T>& block, double scale, bool accumulate,
                std::size_t first, Interrupt& interrupt);

// Whether the magnitudes of activations and deltas tell that all gradients are finite, and their squares.
template <class T>
bool gradients_are_bounded(const Workspace<T>& space, const Net<T>& net, const Block<T>& block);

// Moves a layer's parameters by their gradients, which are bounded and not stored. Returns whether all stayed
// finite. There is room for panel_room<T>(fan_out) numbers a row in `panels`.
template <class T>
bool descend(const Workspace<T>& space, Net<T>& net, const Block<T>& block, std::size_t layer,
             const LayerUpdate<T>& update, T* panels);

// Writes net(x) to y (rows, outputs); keeps nothing. Throws Interrupted.
template <class T>
void predict(T* y, std::ptrdiff_t y_stride, const Net<T>& net, const Rows& x, Interrupt& interrupt,
             std::size_t threads = 1);

}  // namespace chainrule
