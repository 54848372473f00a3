// A net, its optimizer state, and the passes over it, as Python uses them. Training has the net to itself,
// predictions share it. Who comes while the net is trained is told that it is busy; training waits for
// predictions under way, so that they cannot end a fit. Between the epochs of a fit, others may predict, and
// only the fit's own thread may train, as callbacks do.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "chainrule/input_gradient.hpp"
#include "chainrule/split.hpp"
#include "chainrule/threads.hpp"
#include "chainrule/trainer.hpp"
#include "interruptible.hpp"

namespace chainrule::bindings {

[[noreturn]] inline void throw_busy() {
  throw std::runtime_error(
      "the net is busy: another thread, or a call that this one is made within, is using it");
}

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

  // Who trains, who reads, and whether somebody waits for the readers.
  struct Locks {
    std::mutex training;
    std::shared_mutex readers;
    std::atomic<bool> wanted = false;
    std::atomic<std::thread::id> claimed_by{};  // the thread of a fit, for all of its epochs
    unsigned forks = chainrule::forks();
  };

  // In a child of fork, what other threads held is nobody's, and stays locked: it is left behind.
  Locks& locks() {
    if (locks_->forks != chainrule::forks()) {
      static_cast<void>(locks_.release());
      locks_ = std::make_unique<Locks>();
    }
    return *locks_;
  }

  // Training is for this thread alone, while this lives; within another claim of the thread, this is nothing.
  class Claim {
   public:
    explicit Claim(Locks& locks) : locks_(locks) {
      std::thread::id nobody;
      outermost_ = locks.claimed_by.compare_exchange_strong(nobody, std::this_thread::get_id());
      // Who trains already ends first; a handler of a signal in the middle of an epoch has no claim either.
      const bool mine = outermost_ || nobody == std::this_thread::get_id();
      if (mine && std::unique_lock(locks.training, std::try_to_lock)) return;
      release();
      throw_busy();
    }
    ~Claim() { release(); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    void release() {
      if (outermost_) locks_.claimed_by = std::thread::id();
    }

    Locks& locks_;
    bool outermost_;
  };

  // The net to itself, while this lives.
  class Alone {
   public:
    explicit Alone(Locks& locks) : training_(locks.training, std::try_to_lock) {
      if (!training_ || claimed_by_another(locks) || Reading::goes_on(locks)) throw_busy();
      readers_ = std::unique_lock(locks.readers, std::try_to_lock);
      if (!readers_) wait(locks);
    }

   private:
    static bool claimed_by_another(const Locks& locks) {
      const std::thread::id thread = locks.claimed_by;
      return thread != std::thread::id() && thread != std::this_thread::get_id();
    }

    // Keeps new readers out, and looks for Ctrl-C.
    void wait(Locks& locks) {
      locks.wanted = true;
      while (!readers_.try_lock()) {
        {
          const WithoutGil released;
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
        if (PyErr_CheckSignals() != 0) {
          locks.wanted = false;
          throw py::error_already_set();
        }
      }
      locks.wanted = false;
    }

    std::unique_lock<std::mutex> training_;
    std::unique_lock<std::shared_mutex> readers_;
  };

  Alone alone() { return Alone(locks()); }

  // Alone, to change the parameters: the activations that forward left are theirs no more.
  Alone alone_to_train() {
    Alone lock(locks());
    forward_ = std::nullopt;
    return lock;
  }

  std::shared_lock<std::shared_mutex> shared() {
    Locks& now = locks();
    std::shared_lock lock(now.readers, std::defer_lock);
    if (now.wanted || !lock.try_lock()) throw_busy();
    return lock;
  }

  // Long reading, in the middle of which the handler of a signal may want to train: it would wait for ever.
  class Reading {
   public:
    explicit Reading(const Locks& locks) : locks_(locks) { innermost_ = this; }
    ~Reading() { innermost_ = outer_; }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

    // Whether this thread is within one.
    static bool goes_on(const Locks& locks) {
      const Reading* each = innermost_;
      while (each != nullptr && &each->locks_ != &locks) each = each->outer_;
      return each != nullptr;
    }

   private:
    inline static constinit thread_local const Reading* innermost_ = nullptr;

    const Locks& locks_;
    const Reading* outer_ = innermost_;
  };

  // Does long work without the GIL, of a reader.
  template <class Work>
  auto read_without_gil(Work work) {
    const Reading reading(locks());
    return without_gil(work);
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
    return read_without_gil([&](Interrupt& interrupt) {
      Workspace<T> space(net_, std::min(kChunkRows, data.x.rows));
      space.use_threads(threads);
      BlockReader<T> reader;
      return evaluate(net_, data, space, reader, interrupt).reduced(net_.reduction());
    });
  }

  py::array_t<T> predict(const py::object& x, const py::object& out) {
    const Input input = read_features<T>(x, "X", net_.features(), true);
    py::array_t<T> y = read_output<T>(out, net_, input);
    const auto lock = shared();
    T* to = y.mutable_data();
    const auto stride = input.rows.rows == 1 ? static_cast<std::ptrdiff_t>(net_.outputs())
                                             : y.strides(0) / static_cast<py::ssize_t>(sizeof(T));
    constexpr std::size_t worth_releasing = 1 << 15;
    if (input.rows.rows * net_.weight_count() < worth_releasing) {
      Interrupt never;
      chainrule::predict(to, stride, net_, input.rows, never);
    } else {
      const std::size_t threads = threads_for(net_.forward_operations(input.rows.rows));
      read_without_gil([&](Interrupt& interrupt) {
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
    read_without_gil([&](Interrupt& interrupt) {
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
    read_without_gil(
        [&](Interrupt& interrupt) { chainrule::loss_input_gradient(to, net_, data, interrupt); });
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
    read_without_gil([&](Interrupt& interrupt) {
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
  std::unique_ptr<Locks> locks_ = std::make_unique<Locks>();
  std::optional<Input> forward_;  // the inputs of the last forward pass, while its activations are good
  Workspace<T> space_;
  BlockReader<T> reader_;
  Buffer<T> noise_;
};

}  // namespace chainrule::bindings
