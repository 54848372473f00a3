// What the module offers beside nets: errors, build information, update rules, permutations, limits.
#include <pybind11/gil_safe_call_once.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "chainrule/dispatch.hpp"
#include "chainrule/random.hpp"
#include "chainrule/thread_limit.hpp"
#include "chainrule/update.hpp"
#include "gil.hpp"
#include "names.hpp"

namespace chainrule::bindings {

namespace py = pybind11;

void register_errors() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> divergence_error;
  divergence_error.call_once_and_store_result(
      [] { return py::module_::import("chainrule.errors").attr("DivergenceError"); });
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const Divergence& divergence) {
      PyErr_SetString(divergence_error.get_stored().ptr(), divergence.what());
    } catch (const py::cast_error& uncastable) {
      if (!PyErr_Occurred())
        uncastable.set_error();  // else there was no memory for the object, and Python says so
    }
  });
}

void register_build_info(py::module_& module) {
  module.def(
      "build_info",
      [] {
        py::dict info;
        info["version"] = CHAINRULE_VERSION;
        info["compiler"] = CHAINRULE_COMPILER;
        info["isa"] = kernel_set().isa;
        py::list isas;
        for (const KernelSet* kernels : runnable_kernel_sets()) isas.append(kernels->isa);
        info["available_isas"] = isas;
        return info;
      },
      "Version, compiler, the instruction set in use and those that this processor can run.");
  kernel_set();  // a CHAINRULE_ISA that cannot be had is an error of the import, not of the first step
}

static void set_constant(Optimizer& optimizer, const std::string& name, double value) {
  const std::pair<const char*, double Optimizer::*> constants[] = {
      {"lr", &Optimizer::lr},
      {"momentum", &Optimizer::momentum},
      {"beta1", &Optimizer::beta1},
      {"beta2", &Optimizer::beta2},
      {"epsilon", &Optimizer::epsilon},
      {"weight_decay", &Optimizer::weight_decay},
      {"momentum_decay", &Optimizer::momentum_decay},
      {"rho", &Optimizer::rho},
      {"eta_minus", &Optimizer::eta_minus},
      {"eta_plus", &Optimizer::eta_plus},
      {"step_min", &Optimizer::step_min},
      {"step_max", &Optimizer::step_max},
  };
  for (const auto& [known, member] : constants) {
    if (name == known) {
      optimizer.*member = value;
      return;
    }
  }
  if (name == "nesterov") {
    optimizer.nesterov = value != 0;
  } else if (name == "epsilon_hat") {
    optimizer.epsilon_hat = value != 0;
  } else if (name == "decay_biases") {
    optimizer.decay_biases = value != 0;
  } else {
    throw py::type_error("an optimizer has no constant '" + name + "'");
  }
}

void register_optimizer(py::module_& module) {
  py::class_<Optimizer>(module, "Optimizer", "An update rule and its constants.")
      .def(py::init([](const std::string& rule, const py::kwargs& constants) {
             Optimizer optimizer;
             optimizer.rule = find<Rule>(kRuleNames, rule, "rule");
             for (const auto& [name, value] : constants) {
               set_constant(optimizer, name.cast<std::string>(), value.cast<double>());
             }
             return optimizer;
           }),
           py::arg("rule"));
}

void register_regularization(py::module_& module) {
  py::class_<Regularization>(module, "Regularization", "Penalties, clipping and limits; 0 is off.")
      .def(py::init([](double l1, double l2, double clip_value, double clip_norm, double max_norm,
                       bool penalize_biases, bool per_weight) {
             return Regularization{l1, l2, clip_value, clip_norm, max_norm, penalize_biases, per_weight};
           }),
           py::kw_only(), py::arg("l1"), py::arg("l2"), py::arg("clip_value"), py::arg("clip_norm"),
           py::arg("max_norm"), py::arg("penalize_biases"), py::arg("per_weight"));
}

void register_permutation(py::module_& module) {
  module.def(
      "permutation",
      [](std::uint64_t seed, std::uint64_t epoch, std::size_t size) {
        py::array_t<std::int64_t> rows(static_cast<py::ssize_t>(size));
        Permutation permutation;
        permutation.reset(seed, epoch, size);
        permutation.read(reinterpret_cast<std::uint64_t*>(rows.mutable_data()), 0, size);
        return rows;
      },
      py::arg("seed"), py::arg("epoch"), py::arg("size"),
      "The order in which epoch number `epoch` of a net with this seed visits `size` rows.");
}

void register_thread_limit(py::module_& module) {
  module.def("thread_limit", &thread_limit,
             "The most threads this process may use now: by affinity, cgroup quota and OMP_NUM_THREADS.");
}

template <class T>
static void register_limits_of(py::module_& module, const char* multiply_adds) {
  using Array = py::array_t<T, py::array::c_style>;
  module.def(
      multiply_adds,
      [](T factor, std::size_t rounds) {
        const WithoutGil released;
        const MultiplyAdds<T> done = kernels<T>().multiply_adds(factor, rounds);
        return std::pair(done.count, done.sum);
      },
      py::arg("factor"), py::arg("rounds"), "How many multiply-adds were done in registers, and their sum.");
  module.def(
      "_triad",
      [](Array y, const Array& x, const Array& z, T factor, std::size_t rounds) {
        T* to = y.mutable_data();
        const auto size = static_cast<std::size_t>(y.size());
        if (x.size() != y.size() || z.size() != y.size()) throw std::invalid_argument("sizes differ");
        const WithoutGil released;
        for (std::size_t r = 0; r < rounds; ++r) kernels<T>().triad(to, x.data(), z.data(), factor, size);
      },
      py::arg("y").noconvert(), py::arg("x").noconvert(), py::arg("z").noconvert(), py::arg("factor"),
      py::arg("rounds"), "y = x + factor z, `rounds` times, for arrays of one size and dtype.");
}

void register_limits(py::module_& module) {
  register_limits_of<float>(module, "_multiply_adds32");
  register_limits_of<double>(module, "_multiply_adds64");
}

}  // namespace chainrule::bindings
