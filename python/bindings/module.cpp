#include "bindings.hpp"

namespace chainrule::bindings {

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ core of chainrule; the package's Python modules are its interface.";
  register_errors();
  register_build_info(module);
  register_optimizer(module);
  register_regularization(module);
  register_permutation(module);
  register_thread_limit(module);
  register_limits(module);
  register_nets(module);
  register_fits(module);
}

}  // namespace chainrule::bindings
