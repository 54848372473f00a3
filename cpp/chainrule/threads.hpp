// Runs the parts of a job on a few threads: one small pool for the process, started when it is first needed.
// How many threads a process may use is decided elsewhere (thread_limit.hpp).
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace chainrule {

// Does the parts from `first` up to `last` of whatever job `work` points to.
using PartRange = void (*)(void* work, std::size_t first, std::size_t last) noexcept;

// What parallel_for does where there is something to share.
void share_parts(std::size_t threads, std::size_t parts, PartRange run, void* work) noexcept;

// How many forks lie between this process and the first: what threads of the parent held is held for ever
// here.
unsigned forks() noexcept;

// Calls work(part) once for each part in [0, parts), on at most `threads` threads including the caller's, and
// returns when all are done. Each thread has a range of neighbouring parts, the same in every job of the same
// shape, so that its caches stay warm. Allocates nothing, once the pool has its threads.
//
// Who calls while the pool is taken, from another thread or from within `work`, does all parts alone, in
// order. Results must therefore not depend on which thread does a part; and `work` must neither throw nor
// fork.
template <class Work>
void parallel_for(std::size_t threads, std::size_t parts, Work&& work) {
  using Function = std::remove_reference_t<Work>;
  static_assert(std::is_nothrow_invocable_v<Function&, std::size_t>, "the work must be noexcept");
  if (threads <= 1 || parts <= 1) {
    for (std::size_t part = 0; part < parts; ++part) work(part);
    return;
  }
  const PartRange run = [](void* context, std::size_t first, std::size_t last) noexcept {
    auto& function = *static_cast<Function*>(context);
    for (std::size_t part = first; part < last; ++part) function(part);
  };
  share_parts(threads, parts, run, const_cast<void*>(static_cast<const void*>(std::addressof(work))));
}

}  // namespace chainrule
