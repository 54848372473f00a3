// _core.Net32 and _core.Net64.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "bindings.hpp"
#include "names.hpp"
#include "net_core.hpp"

namespace chainrule::bindings {
namespace {

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

// The rule, its steps, and its arrays, copied; for who shares the net.
template <class T>
py::tuple copy_optimizer_state(NetCore<T>& core) {
  OptimizerState<T>& state = core.optimizer_state();
  const std::size_t count = core.net().parameters().size();
  // Of a rule whose first step was never made, by an interrupt or a divergence, there is nothing to keep.
  const Rule rule = state.steps() == 0 && state.slots() == 0 ? Rule::sgd : state.rule();
  py::list slots;
  for (std::size_t s = 0; s < state.slots(); ++s) {
    slots.append(copy_of(state.arena().data() + s * padded<T>(count), count));
  }
  return py::make_tuple(kRuleNames[static_cast<int>(rule)], state.steps(), slots);
}

template <class T>
py::tuple read_optimizer_state(NetCore<T>& core) {
  const auto lock = core.shared();
  return copy_optimizer_state(core);
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
  const auto lock = core.alone_to_train();
  core.progress = {core.progress.epochs, rows_done, {loss, weight}, rows, batch_size, shuffled};
}

// Parameters, optimizer state, epochs, and the epoch in progress, as they are at one moment; copied.
template <class T>
py::tuple read_state(NetCore<T>& core) {
  const auto lock = core.shared();
  const Buffer<T>& parameters = core.net().parameters();
  return py::make_tuple(copy_of(parameters.data(), parameters.size()), copy_optimizer_state(core),
                        core.progress.epochs, read_progress(core));
}

template <class T>
void register_net(py::module_& module, const char* name) {
  using Core = NetCore<T>;
  py::class_<Core>(module, name)
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
      .def("begin_epoch_anew", &Core::begin_epoch_anew)
      .def_property(
          "most_loss", [](Core& core) { return core.net().most_loss; },
          [](Core& core, double most) {
            const auto lock = core.alone();
            core.net().most_loss = most;
          })
      .def("is_frozen", &Core::is_frozen, py::arg("layer"))
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
      .def("read_state", &read_state<T>)
      .def("read_optimizer_state", &read_optimizer_state<T>)
      .def("write_optimizer_state", &write_optimizer_state<T>, py::arg("rule"), py::arg("steps"),
           py::arg("slots"));
}

}  // namespace

void register_nets(py::module_& module) {
  register_net<float>(module, "Net32");
  register_net<double>(module, "Net64");
}

}  // namespace chainrule::bindings
