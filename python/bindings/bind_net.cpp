// _core.Net32 and _core.Net64: a net, its optimizer state, and the passes over it. Training has the net to
// itself, predictions share it. Who comes while the net is trained is told that it is busy; training waits
// for predictions under way, so that they cannot end a fit.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <limits>
#include <mutex>
#include <shared_mutex>

#include "arrays.hpp"
#include "bindings.hpp"
#include "chainrule/denormals.hpp"
#include "chainrule/input_gradient.hpp"
#include "chainrule/split.hpp"
#include "chainrule/trainer.hpp"
#include "names.hpp"

namespace chainrule::bindings {
namespace {

[[noreturn]] void throw_busy() { throw std::runtime_error("the net is busy: another thread is training it"); }

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

  // The net to itself, while this lives.
  class Alone {
   public:
    explicit Alone(NetCore& core) : training_(core.training_, std::try_to_lock) {
      if (!training_) throw_busy();
      readers_ = std::unique_lock(core.readers_, std::try_to_lock);
      if (readers_) return;
      core.wanted_ = true;  // no new readers
      py::gil_scoped_release release;
      readers_.lock();
      core.wanted_ = false;
    }

   private:
    std::unique_lock<std::mutex> training_;
    std::unique_lock<std::shared_mutex> readers_;
  };

  Alone alone() { return Alone(*this); }

  // Alone, to change the parameters: the activations that forward left are theirs no more.
  Alone alone_to_train() {
    Alone lock(*this);
    forward_ = std::nullopt;
    return lock;
  }

  std::shared_lock<std::shared_mutex> shared() {
    std::shared_lock lock(readers_, std::defer_lock);
    if (wanted_ || !lock.try_lock()) throw_busy();
    return lock;
  }

  py::array_t<T> forward(const py::object& x) {
    Input input = read_features<T>(x, "X", net_.features());
    const auto lock = alone();
    forward_ = std::nullopt;
    const std::size_t rows = input.rows.rows;
    const std::size_t threads = threads_for(net_.forward_operations(rows));
    py::array_t<T> yhat({rows, net_.outputs()});
    T* to = yhat.mutable_data();
    {
      py::gil_scoped_release release;
      if (space_.rows() < rows) space_ = Workspace<T>(net_, rows);
      space_.use_threads(threads);
      Interrupt never;
      for_each_chunk({0, rows}, [&](const Batch& chunk) {
        chainrule::forward(space_, net_, noisy(reader_.read(input.rows, chunk), chunk), true, chunk.first,
                           never, Pass::training, optimizer_state_.steps());
      });
      copy_rows(to, space_.activations(net_.layers().size() - 1), rows, net_.outputs());
    }
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
    py::gil_scoped_release release;
    const Batch all{0, data.x.rows};
    LossSum sum{0, reader_.weight_sum(data, all)};
    const double scale = gradient_scale(net_.reduction(), sum.weight);
    Interrupt never;
    for_each_chunk(all, [&](const Batch& chunk) {
      sum.loss += chainrule::backward(space_, net_, noisy(reader_.read(data, chunk), chunk), scale,
                                      chunk.first > 0, chunk.first, never);
    });
    return sum.reduced(net_.reduction());
  }

  void update(const Optimizer& optimizer) {
    const auto lock = alone_to_train();
    const std::size_t threads = threads_for(net_.forward_operations(1));
    py::gil_scoped_release release;
    optimizer_state_.step(net_, optimizer, threads);
  }

  double step(const py::object& x, const py::object& y, const py::object& sample_weight,
              const Optimizer& optimizer) {
    const DatasetInput input = read_dataset(net_, x, y, sample_weight);
    const auto lock = alone_to_train();
    const Dataset data = input.dataset();
    const std::size_t threads = threads_for(net_.forward_operations(data.x.rows));
    py::gil_scoped_release release;
    Stepper<T> stepper(net_, data.x.rows, threads);
    return stepper.step(data, {0, data.x.rows}, optimizer_state_, optimizer, {}).reduced(net_.reduction());
  }

  double loss(const py::object& x, const py::object& y, const py::object& sample_weight) {
    const DatasetInput input = read_dataset(net_, x, y, sample_weight);
    const auto lock = shared();
    const Dataset data = input.dataset();
    const std::size_t threads = threads_for(net_.forward_operations(data.x.rows));
    py::gil_scoped_release release;
    Workspace<T> space(net_, std::min(kChunkRows, data.x.rows));
    space.use_threads(threads);
    BlockReader<T> reader;
    Interrupt never;
    return evaluate(net_, data, space, reader, never).reduced(net_.reduction());
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
      chainrule::predict(to, stride, net_, input.rows);
    } else {
      const std::size_t threads = threads_for(net_.forward_operations(input.rows.rows));
      py::gil_scoped_release release;
      chainrule::predict(to, stride, net_, input.rows, threads);
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
    {
      py::gil_scoped_release release;
      BlockReader<T> reader;
      Interrupt never;
      for_each_chunk({0, rows}, [&](const Batch& chunk) {
        chainrule::forward(space, net_, reader.read(input.rows, chunk), true, chunk.first, never);
      });
    }
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
    py::gil_scoped_release release;
    chainrule::loss_input_gradient(to, net_, data);
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
    py::gil_scoped_release release;
    chainrule::output_input_gradient(to, net_, input.rows, outputs);
    return gradient;
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
  std::mutex training_;
  std::shared_mutex readers_;
  std::atomic<bool> wanted_ = false;
  std::optional<Input> forward_;  // the inputs of the last forward pass, while its activations are good
  Workspace<T> space_;
  BlockReader<T> reader_;
  Buffer<T> noise_;
};

// A fit in progress: Python drives it in blocks of epochs, and looks at the losses between them.
template <class T>
class Fit {
 public:
  Fit(NetCore<T>& core, const py::object& x, const py::object& y, const py::object& sample_weight,
      const py::object& validation, const FitOptions& options)
      : core_(core), training_(read_dataset(core.net(), x, y, sample_weight)) {
    std::optional<Dataset> validation_data;
    if (!validation.is_none()) {
      const auto parts = validation.cast<std::tuple<py::object, py::object, py::object>>();
      validation_ =
          read_dataset(core.net(), std::get<0>(parts), std::get<1>(parts), std::get<2>(parts), "validation ");
      validation_data = validation_->dataset();
    }
    trainer_.emplace(core.net(), core.optimizer_state(), training_.dataset(), validation_data, options, [] {
      const FlushDenormals off(false);  // a signal's handler is anyone's Python
      py::gil_scoped_acquire acquire;
      return PyErr_CheckSignals() != 0;
    });
  }

  // Runs an epoch with each of these learning rates. Returns why it stopped, or None after all of them.
  std::optional<std::string> run(const py::array_t<double, py::array::c_style>& rates) {
    const auto lock = core_.alone_to_train();
    const double* values = rates.data();
    const auto epochs = static_cast<std::size_t>(rates.size());
    Stop stop;
    {
      py::gil_scoped_release release;
      stop = trainer_->run(values, epochs, core_.progress);
    }
    if (stop == Stop::interrupted) throw py::error_already_set();
    return name(stop);
  }

  // The same after an epoch that was judged by another measure.
  std::optional<std::string> judge(double measure) {
    const auto lock = core_.alone_to_train();
    return name(trainer_->judge(measure));
  }

  void restore_best() {
    const auto lock = core_.alone_to_train();
    trainer_->restore_best();
  }

  std::size_t epochs() const { return trainer_->losses().size(); }
  double last_loss() const { return trainer_->losses().at(epochs() - 1); }
  double last_validation_loss() const { return trainer_->validation_losses().at(epochs() - 1); }
  py::array_t<double> losses() const { return copy(trainer_->losses()); }
  py::array_t<double> validation_losses() const { return copy(trainer_->validation_losses()); }

 private:
  static std::optional<std::string> name(Stop stop) {
    switch (stop) {
      case Stop::converged:
        return "converged";
      case Stop::patience:
        return "patience";
      case Stop::time:
        return "time";
      case Stop::interrupted:
      case Stop::none:
        break;
    }
    return std::nullopt;
  }

  static py::array_t<double> copy(const std::vector<double>& values) {
    return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
  }

  NetCore<T>& core_;
  DatasetInput training_;
  std::optional<DatasetInput> validation_;
  std::optional<Trainer<T>> trainer_;
};

NetConfig read_config(const std::vector<std::size_t>& sizes, const std::vector<std::string>& activations,
                      const std::string& loss, const std::vector<double>& loss_constants,
                      const std::string& reduction, bool bias, const std::vector<double>& dropout,
                      double input_noise, std::uint64_t seed) {
  NetConfig config;
  config.sizes = sizes;
  for (const std::string& name : activations) {
    config.activations.push_back(find<Activation>(kActivationNames, name, "activations"));
  }
  config.loss = find<Loss>(kLossNames, loss, "loss");
  config.loss_constants = loss_constants;
  config.reduction = find<Reduction>(kReductionNames, reduction, "reduction");
  config.bias = bias;
  config.dropout = dropout;
  config.input_noise = input_noise;
  config.seed = seed;
  return config;
}

// A flat NumPy view of an arena that keeps its owner alive.
template <class T>
py::array_t<T> view(T* data, std::size_t size, const py::object& owner) {
  return py::array_t<T>({static_cast<py::ssize_t>(size)}, {static_cast<py::ssize_t>(sizeof(T))}, data, owner);
}

template <class T>
py::tuple read_optimizer_state(const py::object& self) {
  auto& core = self.cast<NetCore<T>&>();
  const auto lock = core.shared();
  OptimizerState<T>& state = core.optimizer_state();
  const std::size_t count = core.net().parameters().size();
  py::list slots;
  for (std::size_t s = 0; s < state.slots(); ++s) {
    slots.append(
        py::array_t<T>(static_cast<py::ssize_t>(count), state.arena().data() + s * padded<T>(count)));
  }
  return py::make_tuple(kRuleNames[static_cast<int>(state.rule())], state.steps(), slots);
}

template <class T>
void write_optimizer_state(NetCore<T>& core, const std::string& rule, std::uint64_t steps,
                           const std::vector<py::array_t<T, py::array::c_style>>& slots) {
  const auto lock = core.alone();
  const std::size_t count = core.net().parameters().size();
  for (const auto& slot : slots) {
    if (static_cast<std::size_t>(slot.size()) != count) {
      throw py::value_error("an optimizer slot holds " + std::to_string(slot.size()) +
                            " numbers; the net has " + std::to_string(count) + " parameters");
    }
  }
  core.optimizer_state().restore(find<Rule>(kRuleNames, rule, "rule"), slots.size(), count, steps);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    std::memcpy(core.optimizer_state().arena().data() + s * padded<T>(count), slots[s].data(),
                count * sizeof(T));
  }
}

// The epoch that an interrupt left: rows done, their losses and weights, and what a fit must have to go on.
template <class T>
std::optional<std::tuple<std::size_t, double, double, std::size_t, std::size_t, bool>> read_progress(
    const NetCore<T>& core) {
  const Progress& p = core.progress;
  if (p.rows_done == 0) return std::nullopt;
  return std::tuple(p.rows_done, p.sum.loss, p.sum.weight, p.rows, p.batch_size, p.shuffled);
}

template <class T>
void write_progress(NetCore<T>& core, std::size_t rows_done, double loss, double weight, std::size_t rows,
                    std::size_t batch_size, bool shuffled) {
  const auto lock = core.alone();
  core.progress = {core.progress.epochs, rows_done, {loss, weight}, rows, batch_size, shuffled};
}

template <class T>
void register_net(py::module_& module, const char* net_name, const char* fit_name) {
  using Core = NetCore<T>;
  py::class_<Core>(module, net_name)
      .def(py::init([](const std::vector<std::size_t>& sizes, const std::vector<std::string>& activations,
                       const std::string& loss, const std::vector<double>& loss_constants,
                       const std::string& reduction, bool bias, const std::vector<double>& dropout,
                       double input_noise, std::uint64_t seed, py::object threads) {
             return std::make_unique<Core>(read_config(sizes, activations, loss, loss_constants, reduction,
                                                       bias, dropout, input_noise, seed),
                                           std::move(threads));
           }),
           py::arg("sizes"), py::arg("activations"), py::arg("loss"), py::arg("loss_constants"),
           py::arg("reduction"), py::arg("bias"), py::arg("dropout"), py::arg("input_noise"), py::arg("seed"),
           py::arg("threads"))
      .def_property_readonly("parameters",
                             [](const py::object& self) {
                               Buffer<T>& arena = self.cast<Core&>().net().parameters();
                               return view(arena.data(), arena.size(), self);
                             })
      .def_property_readonly("gradients",
                             [](const py::object& self) {
                               Buffer<T>& arena = self.cast<Core&>().net().gradients();
                               return view(arena.data(), arena.size(), self);
                             })
      .def_property(
          "epochs_trained", [](const Core& core) { return core.progress.epochs; },
          [](Core& core, std::uint64_t epochs) { core.progress.epochs = epochs; })
      .def_property_readonly("epoch_in_progress", &read_progress<T>)
      .def("resume_epoch", &write_progress<T>, py::arg("rows_done"), py::arg("loss"), py::arg("weight"),
           py::arg("rows"), py::arg("batch_size"), py::arg("shuffled"))
      .def("is_frozen", [](const Core& core, std::size_t layer) { return core.is_frozen(layer); })
      .def("freeze", &Core::freeze, py::arg("layer"), py::arg("frozen"))
      .def("forward", &Core::forward, py::arg("X"))
      .def("backward", &Core::backward, py::arg("Y"), py::arg("sample_weight"))
      .def("update", &Core::update, py::arg("optimizer"))
      .def("step", &Core::step, py::arg("X"), py::arg("Y"), py::arg("sample_weight"), py::arg("optimizer"))
      .def("loss", &Core::loss, py::arg("X"), py::arg("Y"), py::arg("sample_weight"))
      .def("predict", &Core::predict, py::arg("X"), py::arg("out"))
      .def("intermediates", &Core::intermediates)
      .def("activations", &Core::activations, py::arg("X"))
      .def("loss_input_gradient", &Core::loss_input_gradient, py::arg("X"), py::arg("Y"),
           py::arg("sample_weight"))
      .def("output_input_gradient", &Core::output_input_gradient, py::arg("X"), py::arg("output"))
      .def("read_optimizer_state", &read_optimizer_state<T>)
      .def("write_optimizer_state", &write_optimizer_state<T>, py::arg("rule"), py::arg("steps"),
           py::arg("slots"));

  py::class_<Fit<T>>(module, fit_name)
      .def(py::init([](Core& core, const py::object& x, const py::object& y, const py::object& sample_weight,
                       const py::object& validation, const Optimizer& optimizer, std::size_t batch_size,
                       bool shuffle, std::uint64_t seed, const Regularization& regularization, double tol,
                       std::size_t patience, double time_limit, bool judged_outside) {
             const std::size_t threads = core.threads_for(std::numeric_limits<double>::infinity());
             const FitOptions options{optimizer, batch_size, shuffle, seed,       regularization,
                                      tol,       patience,   threads, time_limit, judged_outside};
             return std::make_unique<Fit<T>>(core, x, y, sample_weight, validation, options);
           }),
           py::arg("core"), py::arg("X"), py::arg("Y"), py::arg("sample_weight"), py::arg("validation"),
           py::arg("optimizer"), py::arg("batch_size"), py::arg("shuffle"), py::arg("seed"),
           py::arg("regularization"), py::arg("tol"), py::arg("patience"), py::arg("time_limit"),
           py::arg("judged_outside"), py::keep_alive<1, 2>())
      .def("run", &Fit<T>::run, py::arg("learning_rates"))
      .def("judge", &Fit<T>::judge, py::arg("measure"))
      .def("restore_best", &Fit<T>::restore_best)
      .def_property_readonly("epochs", &Fit<T>::epochs)
      .def_property_readonly("last_loss", &Fit<T>::last_loss)
      .def_property_readonly("last_validation_loss", &Fit<T>::last_validation_loss)
      .def_property_readonly("losses", &Fit<T>::losses)
      .def_property_readonly("validation_losses", &Fit<T>::validation_losses);
}

}  // namespace

void register_nets(py::module_& module) {
  register_net<float>(module, "Net32", "Fit32");
  register_net<double>(module, "Net64", "Fit64");
}

}  // namespace chainrule::bindings
