// Splits the work on a matrix or an arena into ranges for a few threads. Every number is computed whole, by
// one thread, as it would be by another: results have the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "chainrule/denormals.hpp"
#include "chainrule/threads.hpp"

namespace chainrule {

// Floating-point operations, or as much time spent otherwise, that are worth waking a thread for: some 30
// microseconds. Measured: with a sixth of it, 64-128-128-10 took longer on two threads than on one.
inline constexpr double kWorthAThread = 3e6;

struct Range {
  std::size_t first;
  std::size_t count;
};

// Calls work(range) for ranges that cover [0, size) and begin at multiples of `grain`.
template <class Work>
void split(std::size_t threads, double operations, std::size_t size, std::size_t grain, Work work) {
  const std::size_t grains = (size + grain - 1) / grain;
  const auto worth = static_cast<std::size_t>(operations / kWorthAThread);
  const std::size_t parts = std::max<std::size_t>(1, std::min({threads, grains, worth}));
  if (parts == 1) {
    work(Range{0, size});
    return;
  }
  const bool flushing = FlushDenormals::active();
  parallel_for(parts, parts, [&](std::size_t part) noexcept {
    const FlushDenormals flush(flushing);
    const std::size_t first = grains * part / parts * grain;
    work(Range{first, std::min(size, grains * (part + 1) / parts * grain) - first});
  });
}

}  // namespace chainrule
