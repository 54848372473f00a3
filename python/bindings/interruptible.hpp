// Long work without the GIL that Ctrl-C stops.
#pragma once

#include <pybind11/pybind11.h>

#include "chainrule/denormals.hpp"
#include "chainrule/interrupt.hpp"
#include "gil.hpp"

namespace chainrule::bindings {

// Runs the handlers of signals that have come; returns whether one raised an error, which is then set.
inline bool a_signal_raises(WithoutGil& released) {
  const FlushDenormals off(false);  // a handler is anyone's Python
  const WithGil held(released);
  return PyErr_CheckSignals() != 0;
}

// Returns what `work` returns, which has an Interrupt to check; throws what a signal's handler raised.
template <class Work>
auto without_gil(Work work) {
  {
    WithoutGil released;
    Interrupt interrupt([&released] { return a_signal_raises(released); });
    try {
      return work(interrupt);
    } catch (const Interrupted&) {
    }
  }
  throw pybind11::error_already_set();
}

}  // namespace chainrule::bindings
