// Chooses, once, the kernels for the machine this runs on.
#pragma once

#include <vector>

#include "chainrule/kernels.hpp"

namespace chainrule {

// The best instruction set that the processor has, or the one that CHAINRULE_ISA names.
// Throws std::invalid_argument if that name is unknown or the processor cannot run it.
const KernelSet& kernel_set();

// The kernels of every instruction set that this processor can run, best first.
std::vector<const KernelSet*> runnable_kernel_sets();

template <class T>
const Kernels<T>& kernels();

template <>
inline const Kernels<float>& kernels<float>() {
  return kernel_set().f32;
}

template <>
inline const Kernels<double>& kernels<double>() {
  return kernel_set().f64;
}

}  // namespace chainrule
