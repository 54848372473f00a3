// One register function per concept; module.cpp is their table of contents.
#pragma once

#include <pybind11/pybind11.h>

namespace chainrule::bindings {

void register_errors();
void register_build_info(pybind11::module_& module);
void register_optimizer(pybind11::module_& module);
void register_regularization(pybind11::module_& module);
void register_permutation(pybind11::module_& module);
void register_thread_limit(pybind11::module_& module);
void register_limits(pybind11::module_& module);
void register_nets(pybind11::module_& module);
void register_fits(pybind11::module_& module);

}  // namespace chainrule::bindings
