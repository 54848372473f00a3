// Jobs for the thread pool that check themselves. Results are kept in plain memory, so that a race is a wrong
// number, or a report of the thread sanitizer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "chainrule/threads.hpp"
#include "check.hpp"

namespace chainrule::test {

inline void wait_for(const std::atomic<bool>& flag) {
  while (!flag.load()) std::this_thread::yield();
}

// The thread that did each of the parts of a job in which no part ends before all have begun.
inline std::vector<std::thread::id> meet(std::size_t threads) {
  std::vector<std::thread::id> ids(threads);
  std::atomic<std::size_t> begun = 0;
  parallel_for(threads, threads, [&](std::size_t part) noexcept {
    ids[part] = std::this_thread::get_id();
    ++begun;
    while (begun.load() < threads) std::this_thread::yield();
  });
  return ids;
}

// That a job of `parts` parts is done by the calling thread alone, in order. The first part gives any other
// thread the time to begin.
inline void check_alone(std::size_t threads, std::size_t parts) {
  std::vector<std::size_t> order;
  const auto caller = std::this_thread::get_id();
  bool alone = true;
  parallel_for(threads, parts, [&](std::size_t part) noexcept {
    alone = alone && std::this_thread::get_id() == caller;
    if (alone) order.push_back(part);
    if (part == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  std::vector<std::size_t> expected(parts);
  std::iota(expected.begin(), expected.end(), std::size_t{0});
  CHECK(alone);
  CHECK(order == expected);
}

// A chain of small jobs: each part reads what its neighbour, most often on another thread, wrote in the job
// before.
inline void check_chain(std::size_t threads, std::size_t parts, unsigned jobs) {
  std::vector<unsigned> before(parts), after(parts);
  for (unsigned job = 0; job < jobs; ++job) {
    parallel_for(threads, parts,
                 [&](std::size_t part) noexcept { after[part] = before[(part + 1) % parts] + 1; });
    std::swap(before, after);
  }
  for (const unsigned value : before) CHECK(value == jobs);
}

}  // namespace chainrule::test
