// A net, its optimizer state, and the passes over it, as Python uses them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "chainrule/input_gradient.hpp"
#include "chainrule/split.hpp"
#include "chainrule/trainer.hpp"
#include "interruptible.hpp"
#include "net_locks.hpp"

namespace chainrule::bindings {

template <class T>
class NetCore {
 public:
  // `threads` is called, with the GIL, for the most threads that work may use now.
  NetCore(const NetConfig& config, py::object threads) : net_(config), threads_(std::move(threads)) {}

  Net<T>& net() { return net_; }
  OptimizerState<T>& optimizer_state() { return optimizer_state_; }
  Progress progress;

  // Asking takes as long as a small net: only where the work is worth more than one thread.
  std::size_t threads_for(double operations) const {
    return operations < 2 * kWorthAThread ? 1 : threads_().template cast<std::size_t>();
  }

  NetLocks& locks() { return locks_; }
  Alone alone() { return Alone(locks_); }
  Shared shared() { return Shared(locks_); }

  // Alone, to change the parameters: the activations that forward left are theirs no more.
  class AloneToTrain {
   public:
    explicit AloneToTrain(NetCore& core) : lock_(core.locks_) { core.forward_ = std::nullopt; }

   private:
    Alone lock_;
  };
  AloneToTrain alone_to_train() { return AloneToTrain(*this); }

  // For parameters that have not seen the rows of an epoch in progress, nor the last forward pass. Others may
  // go on predicting, for they look at neither.
  void begin_epoch_anew() {
    const Training lock(locks_);
    forward_ = std::nullopt;
    progress.begin_anew();
  }

  py::array_t<T> forward(const py::object& x) {
    Input input = read_features<T>(x, "X", net_.features());
    if (is_own(input))  // keeping it would keep this net, for ever
      input = read_features<T>(input.owner.attr("copy")(), "X", net_.features());
    const auto lock = alone();
    forward_ = std::nullopt;
    const std::size_t rows = input.rows.rows;
    const std::size_t threads = threads_for(net_.forward_operations(rows));
    py::array_t<T> yhat({rows, net_.outputs()});
    T* to = yhat.mutable_data();
    without_gil([&](Interrupt& interrupt) {
      if (space_.rows() < rows) space_ = Workspace<T>(net_, rows);
      space_.use_threads(threads);
      for_each_chunk({0, rows}, [&](const Batch& chunk) {
        chainrule::forward(space_, net_, noisy(reader_.read(input.rows, chunk), chunk), true, chunk.first,
                           interrupt, Pass::training, optimizer_state_.steps());
      });
      copy_rows(to, space_.activations(net_.layers().size() - 1), rows, net_.outputs());
    });
    forward_ = std::move(input);
    return yhat;
  }

  double backward(const py::object& y, const py::object& sample_weight) {
    const auto lock = alone();
    if (!forward_)
      throw std::runtime_error("backward needs the activations of a forward pass: call forward(X) first");
    DatasetInput input{*forward_, {}, {}, false};
    read_targets(input, net_, input.x.rows.rows, y, sample_weight);
    const Dataset data = input.dataset();
    return without_gil([&](Interrupt& interrupt) {
      const Batch all{0, data.x.rows};
      LossSum sum{0, reader_.weight_sum(data, all)};
      const double scale = gradient_scale(net_.reduction(), sum.weight);
      for_each_chunk(all, [&](const Batch& chunk) {
        Block<T> block = noisy(reader_.read(data, chunk), chunk);
        reader_.add_columns(block, net_.features());
        sum.loss += chainrule::backward(space_, net_, block, scale, chunk.first > 0, chunk.first, interrupt);
      });
      return sum.reduced(net_.reduction());
    });
  }

  void update(const Optimizer& optimizer) {
    const auto lock = alone_to_train();
    const std::size_t threads = threads_for(net_.forward_operations(1));
    const WithoutGil released;
    optimizer_state_.step(net_, optimizer, threads);
  }

  double step(const py::object& x, const py::object& y, const py::object& sample_weight,
              const Optimizer& optimizer) {
    const DatasetInput input = read_dataset(net_, x, y, sample_weight);
    const auto lock = alone_to_train();
    const Dataset data = input.dataset();
    const std::size_t threads = threads_for(net_.forward_operations(data.x.rows));
    return without_gil([&](const Interrupt& interrupt) {
      Stepper<T> stepper(net_, data.x.rows, threads, interrupt);
      return stepper.step(data, {0, data.x.rows}, optimizer_state_, optimizer, {}).reduced(net_.reduction());
    });
  }

  double loss(const py::object& x, const py::object& y, const py::object& sample_weight) {
    const DatasetInput input = read_dataset(net_, x, y, sample_weight);
    const auto lock = shared();
    const Dataset data = input.dataset();
    const std::size_t threads = threads_for(net_.forward_operations(data.x.rows));
    return without_gil([&](Interrupt& interrupt) {
      Workspace<T> space(net_, std::min(kChunkRows, data.x.rows));
      space.use_threads(threads);
      BlockReader<T> reader;
      return evaluate(net_, data, space, reader, interrupt).reduced(net_.reduction());
    });
  }

  py::array_t<T> predict(const py::object& x, const py::object& out) {
    const Input input = read_features<T>(x, "X", net_.features(), true);
    py::array_t<T> y = read_output<T>(out, net_, input);
    T* to = y.mutable_data();
    const auto stride = input.rows.rows == 1 ? static_cast<std::ptrdiff_t>(net_.outputs())
                                             : y.strides(0) / static_cast<py::ssize_t>(sizeof(T));
    constexpr std::size_t worth_releasing = 1 << 15;
    if (input.rows.rows * net_.weight_count() < worth_releasing) {
      const BrieflyShared lock(locks_);
      Interrupt never;
      chainrule::predict(to, stride, net_, input.rows, never);
    } else {
      const auto lock = shared();
      const std::size_t threads = threads_for(net_.forward_operations(input.rows.rows));
      without_gil([&](Interrupt& interrupt) {
        chainrule::predict(to, stride, net_, input.rows, interrupt, threads);
      });
    }
    return y;
  }

  void freeze(std::size_t layer, bool frozen) {
    const auto lock = alone();
    net_.freeze(layer, frozen);
  }

  // Every layer's activations for x, as predict computes them.
  py::list activations(const py::object& x) {
    const Input input = read_features<T>(x, "X", net_.features());
    const auto lock = shared();
    const std::size_t rows = input.rows.rows;
    Workspace<T> space(net_, rows);
    without_gil([&](Interrupt& interrupt) {
      BlockReader<T> reader;
      for_each_chunk({0, rows}, [&](const Batch& chunk) {
        chainrule::forward(space, net_, reader.read(input.rows, chunk), true, chunk.first, interrupt);
      });
    });
    py::list layers;
    for (std::size_t l = 0; l < net_.layers().size(); ++l)
      layers.append(as_array(space.activations(l), rows, net_.layers()[l].fan_out));
    return layers;
  }

  // dL/dx of every row, L the loss of all of them.
  py::array_t<T> loss_input_gradient(const py::object& x, const py::object& y,
                                     const py::object& sample_weight) {
    const DatasetInput input = read_dataset(net_, x, y, sample_weight);
    const auto lock = shared();
    const Dataset data = input.dataset();
    py::array_t<T> gradient({data.x.rows, net_.features()});
    T* to = gradient.mutable_data();
    without_gil([&](Interrupt& interrupt) { chainrule::loss_input_gradient(to, net_, data, interrupt); });
    return gradient;
  }

  // dyhat_j/dx of every row, for the output j or, (rows, outputs, features), for all of them.
  py::array_t<T> output_input_gradient(const py::object& x, std::optional<std::size_t> output) {
    const Input input = read_features<T>(x, "X", net_.features());
    const auto lock = shared();
    const std::size_t rows = input.rows.rows, features = net_.features();
    const Range outputs = output ? Range{*output, 1} : Range{0, net_.outputs()};
    std::vector<std::size_t> shape{rows, features};
    if (!output) shape.insert(shape.begin() + 1, net_.outputs());
    py::array_t<T> gradient(shape);
    T* to = gradient.mutable_data();
    without_gil([&](Interrupt& interrupt) {
      chainrule::output_input_gradient(to, net_, input.rows, outputs, interrupt);
    });
    return gradient;
  }

  // Whether rows are, or begin, in the memory of the net.
  bool is_own(const Input& input) {
    const auto holds = [&](const Buffer<T>& arena) {
      const auto* first = reinterpret_cast<const std::byte*>(arena.data());
      return input.rows.data >= first && input.rows.data < first + arena.size() * sizeof(T);
    };
    return holds(net_.parameters()) || holds(net_.gradients());
  }

  bool is_frozen(std::size_t layer) const { return net_.frozen(layer); }

  // Preactivations, activations and deltas of every layer, as the last forward and backward pass left them.
  py::tuple intermediates() {
    const auto lock = alone();
    if (!forward_)
      throw std::runtime_error("there are no intermediates: call forward(X) and backward(Y) first");
    const std::size_t rows = forward_->rows.rows, last = net_.layers().size() - 1;
    Workspace<T> recomputed(net_, rows);
    for_each_chunk({0, rows}, [&](const Batch& chunk) {
      chainrule::preactivations(recomputed, space_, net_, noisy(reader_.read(forward_->rows, chunk), chunk),
                                chunk.first);
    });
    py::list h, a, delta;
    for (std::size_t l = 0; l <= last; ++l) {
      h.append(as_array(recomputed.activations(l), rows, net_.layers()[l].fan_out));
      a.append(as_array(space_.activations(l), rows, net_.layers()[l].fan_out));
      delta.append(as_array(space_.deltas(l), rows, net_.layers()[l].fan_out));
    }
    return py::make_tuple(h, a, delta);
  }

 private:
  // A chunk as the pass sees it that the next step makes.
  Block<T> noisy(Block<T> block, const Batch& chunk) {
    block.first_row = chunk.first;
    return with_input_noise(net_, block, block.rows, optimizer_state_.steps(), noise_);
  }

  static void copy_rows(T* to, const Plane<T>& from, std::size_t rows, std::size_t columns) {
    for (std::size_t i = 0; i < rows; ++i)
      std::memcpy(to + i * columns, from.from_row(i).data, columns * sizeof(T));
  }

  static py::array_t<T> as_array(const Plane<T>& plane, std::size_t rows, std::size_t columns) {
    py::array_t<T> array({rows, columns});
    copy_rows(array.mutable_data(), plane, rows, columns);
    return array;
  }

  Net<T> net_;
  py::object threads_;
  OptimizerState<T> optimizer_state_;
  NetLocks locks_;
  std::optional<Input> forward_;  // the inputs of the last forward pass, while its activations are good
  Workspace<T> space_;
  BlockReader<T> reader_;
  Buffer<T> noise_;
};

}  // namespace chainrule::bindings
