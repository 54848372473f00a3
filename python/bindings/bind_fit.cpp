// _core.Fit32 and _core.Fit64: a fit in progress.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "bindings.hpp"
#include "interruptible.hpp"
#include "net_core.hpp"

namespace chainrule::bindings {
namespace {

// Python drives it in blocks of epochs, and looks at the losses between them.
template <class T>
class Fit {
 public:
  Fit(NetCore<T>& core, const py::object& x, const py::object& y, const py::object& sample_weight,
      const py::object& validation, const FitOptions& options)
      : owner_(py::cast(core, py::return_value_policy::reference)),
        core_(core),
        training_(read_dataset(core.net(), x, y, sample_weight)) {
    std::optional<Dataset> validation_data;
    if (!validation.is_none()) {
      const auto parts = validation.cast<std::tuple<py::object, py::object, py::object>>();
      validation_ =
          read_dataset(core.net(), std::get<0>(parts), std::get<1>(parts), std::get<2>(parts), "validation ");
      validation_data = validation_->dataset();
    }
    trainer_.emplace(core.net(), core.optimizer_state(), training_.dataset(), validation_data, options,
                     [this] { return a_signal_raises(*released_); });
  }

  // Keeps others from training the net between epochs, until `release`.
  void claim() { claim_.emplace(core_.locks()); }
  void release() { claim_.reset(); }

  // Runs an epoch with each of these learning rates. Returns why it stopped, or None after all of them.
  std::optional<std::string> run(const py::array_t<double, py::array::c_style>& rates) {
    const auto lock = core_.alone_to_train();
    const double* values = rates.data();
    const auto epochs = static_cast<std::size_t>(rates.size());
    Stop stop;
    {
      WithoutGil released;
      released_ = &released;
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
    trainer_->restore_best(core_.progress);
  }

  std::size_t epochs() const { return trainer_->losses().size(); }
  double last_loss() const { return trainer_->losses().at(epochs() - 1); }
  double last_validation_loss() const { return trainer_->validation_losses().at(epochs() - 1); }
  py::array_t<double> losses() const { return copy(trainer_->losses()); }
  py::array_t<double> last_losses(std::size_t count) const { return copy_last(trainer_->losses(), count); }
  py::array_t<double> last_penalties(std::size_t count) const {
    return copy_last(trainer_->penalties(), count);
  }
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
    return copy_last(values, values.size());
  }

  static py::array_t<double> copy_last(const std::vector<double>& values, std::size_t count) {
    count = std::min(count, values.size());
    return copy_of(values.data() + (values.size() - count), count);
  }

  py::object owner_;  // keeps the core alive; where memory runs out, py::keep_alive ends the process
  NetCore<T>& core_;
  DatasetInput training_;
  std::optional<DatasetInput> validation_;
  WithoutGil* released_ = nullptr;  // of the epochs that run
  std::optional<Trainer<T>> trainer_;
  std::optional<Claim> claim_;
};

template <class T>
void register_fit(py::module_& module, const char* name) {
  using Core = NetCore<T>;
  py::class_<Fit<T>>(module, name)
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
           py::arg("judged_outside"))
      .def("__enter__", &Fit<T>::claim)
      .def("__exit__", [](Fit<T>& fit, const py::args&) { fit.release(); })
      .def("run", &Fit<T>::run, py::arg("learning_rates"))
      .def("judge", &Fit<T>::judge, py::arg("measure"))
      .def("restore_best", &Fit<T>::restore_best)
      .def_property_readonly("epochs", &Fit<T>::epochs)
      .def_property_readonly("last_loss", &Fit<T>::last_loss)
      .def_property_readonly("last_validation_loss", &Fit<T>::last_validation_loss)
      .def("last_losses", &Fit<T>::last_losses, py::arg("count"))
      .def("last_penalties", &Fit<T>::last_penalties, py::arg("count"))
      .def_property_readonly("losses", &Fit<T>::losses)
      .def_property_readonly("validation_losses", &Fit<T>::validation_losses);
}

}  // namespace

void register_fits(py::module_& module) {
  register_fit<float>(module, "Fit32");
  register_fit<double>(module, "Fit64");
}

}  // namespace chainrule::bindings
