// The GIL, given up and taken back, also while the interpreter ends: before 3.14, Python ends a daemon thread
// that wants it then by unwinding its stack, through destructors that must not throw. Such a thread sleeps
// instead, as with later versions, until the process is gone.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace chainrule::bindings {

// Calls what takes the GIL. Nothing but the unwinding leaves it by an exception.
template <class Take>
void take_gil_or_sleep(Take take) noexcept {
  try {
    take();
  } catch (...) {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

// Releases the GIL while it lives.
class WithoutGil {
 public:
  WithoutGil() noexcept : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    take_gil_or_sleep([this] { PyEval_RestoreThread(state_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  friend class WithGil;
  PyThreadState* state_;
};

// Holds the GIL again, in the thread that released it, while it lives. Not pybind11::gil_scoped_acquire:
// once the interpreter has ended, that finds no state of the thread, and crashes making one.
class WithGil {
 public:
  explicit WithGil(WithoutGil& released) noexcept : released_(released) {
    take_gil_or_sleep([this] { PyEval_RestoreThread(released_.state_); });
  }
  ~WithGil() { released_.state_ = PyEval_SaveThread(); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  WithoutGil& released_;
};

}  // namespace chainrule::bindings
