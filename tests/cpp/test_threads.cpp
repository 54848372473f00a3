// The thread pool: every part once, whoever calls, however often, asleep or awake. tests/cpp/test_process.cpp
// has what it makes of fork, exit and few processors.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"
#include "jobs.hpp"

namespace chainrule::test {
namespace {

using std::chrono::milliseconds;

void test_every_part_once() {
  for (const std::size_t threads : {0, 1, 2, 3, 8}) {
    for (const std::size_t parts : {0, 1, 2, 3, 7, 8, 9, 64, 1001}) {
      std::vector<int> visits(parts);
      std::vector<std::thread::id> ids(parts);
      parallel_for(threads, parts, [&](std::size_t part) noexcept {
        ++visits[part];
        ids[part] = std::this_thread::get_id();
      });
      for (const int count : visits) CHECK(count == 1);
      CHECK(std::set(ids.begin(), ids.end()).size() <= std::max<std::size_t>(threads, 1));
    }
  }
}

void test_one_thread_is_a_loop() {
  check_alone(1, 100);
  check_alone(0, 100);
  check_alone(8, 1);
}

void test_parts_run_side_by_side() {
  for (const std::size_t threads : {2, 3, 8, 5}) {
    const auto ids = meet(threads);
    CHECK(ids[0] == std::this_thread::get_id());
    CHECK(std::set(ids.begin(), ids.end()).size() == threads);
    CHECK(meet(threads) == ids);
  }
}

void test_many_small_jobs() {
  check_chain(2, 2, 1000000);
  check_chain(3, 7, 200000);
  check_chain(8, 8, 50000);
}

void test_workers_and_callers_that_sleep() {
  for (int i = 0; i < 30; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
    meet(2);
    std::atomic<bool> begun = false;
    int result = 0;
    parallel_for(2, 2, [&](std::size_t part) noexcept {
      if (part == 0) return wait_for(begun);
      begun = true;
      std::this_thread::sleep_for(milliseconds(1));
      result = 1;
    });
    CHECK(result == 1);
  }
}

void test_callers_side_by_side() {
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < 4; ++c) callers.emplace_back([c] { check_chain(2 + c % 2, 5, 50000); });
  for (std::thread& caller : callers) caller.join();
}

void test_second_caller_works_alone() {
  std::atomic<bool> taken = false, done = false;
  std::thread second([&] {
    wait_for(taken);
    check_alone(4, 100);
    done = true;
  });
  parallel_for(2, 2, [&](std::size_t) noexcept {
    taken = true;
    wait_for(done);
  });
  second.join();
}

void test_job_within_a_job() {
  std::atomic<int> begun = 0;
  int inner[3] = {};
  parallel_for(3, 3, [&](std::size_t part) noexcept {
    ++begun;
    while (begun.load() < 3) std::this_thread::yield();
    int sum = 0;
    parallel_for(3, 10, [&](std::size_t number) noexcept { sum = 2 * sum + static_cast<int>(number); });
    inner[part] = sum;
  });
  for (const int sum : inner) CHECK(sum == 1013);  // Horner's rule in the order 0 to 9
}

}  // namespace
}  // namespace chainrule::test

int main() {
  chainrule::test::test_every_part_once();
  chainrule::test::test_one_thread_is_a_loop();
  chainrule::test::test_parts_run_side_by_side();
  chainrule::test::test_many_small_jobs();
  chainrule::test::test_workers_and_callers_that_sleep();
  chainrule::test::test_callers_side_by_side();
  chainrule::test::test_second_caller_works_alone();
  chainrule::test::test_job_within_a_job();
  return chainrule::test::failures();
}
