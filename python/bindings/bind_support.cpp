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

void register_optimizer(py::module_& module) {
  py::class_<Optimizer>(module, "Optimizer", "An update rule and its constants.")
      .def(py::init([](const std::string& rule, double lr, double momentum, double beta1, double beta2,
                       double epsilon) {
             return Optimizer{find<Rule>(kRuleNames, rule, "rule"), lr, momentum, beta1, beta2, epsilon};
           }),
           py::arg("rule"), py::arg("lr"), py::kw_only(), py::arg("momentum") = 0.0, py::arg("beta1") = 0.9,
           py::arg("beta2") = 0.999, py::arg("epsilon") = 1e-8);
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
        py::gil_scoped_release release;
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
        py::gil_scoped_release release;
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
