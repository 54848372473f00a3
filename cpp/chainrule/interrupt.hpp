// Lets long work be stopped from outside: it asks, some fifty times a second, whether it should go on.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

namespace chainrule {

// Thrown by the work that was asked to stop; parameters are those after the last whole step.
struct Interrupted {};

class Interrupt {
 public:
  Interrupt() = default;  // work that nobody can stop
  explicit Interrupt(std::function<bool()> requested) : requested_(std::move(requested)) {}

  // Called after so many floating-point operations. Throws Interrupted.
  void check(double operations) {
    // Reading the clock costs as much as a step of the smallest nets: once per millisecond or so of work.
    constexpr double operations_between_looks = 2e6;
    constexpr std::chrono::milliseconds between_requests{20};
    operations_ += operations;
    if (operations_ < operations_between_looks || !requested_) return;
    operations_ = 0;
    const auto now = Clock::now();
    if (now - asked_ < between_requests) return;
    asked_ = now;
    if (requested_()) throw Interrupted{};
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::function<bool()> requested_;
  double operations_ = 0;
  Clock::time_point asked_ = Clock::now();
};

}  // namespace chainrule
