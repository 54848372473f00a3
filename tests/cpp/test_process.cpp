// The thread pool and its process: fork, exit, signals, few processors, no threads to be had. POSIX systems.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "check.hpp"
#include "jobs.hpp"

namespace chainrule::test {
namespace {

// Runs `action` in a forked child that then exits as any program does; checks that it succeeds.
template <class Action>
void check_in_child(Action action) {
  const pid_t child = fork();
  if (child == 0) {
    action();
    std::exit(failures());
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void use_pool() {
  meet(4);
  check_chain(4, 4, 1000);
}

void test_fork_while_idle() {
  use_pool();
  check_in_child([] {
    use_pool();
    check_in_child(use_pool);
  });
  use_pool();
}

void test_fork_while_another_thread_is_in_a_job() {
  std::atomic<bool> begun = false, forked = false;
  std::thread other([&] {
    parallel_for(2, 2, [&](std::size_t) noexcept {
      begun = true;
      wait_for(forked);
    });
  });
  wait_for(begun);
  check_in_child(use_pool);
  forked = true;
  other.join();
  use_pool();
}

void test_fork_at_any_moment() {
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop.load()) parallel_for(2, 2, [](std::size_t) noexcept {});
  });
  for (int i = 0; i < 50; ++i) check_in_child(use_pool);
  stop = true;
  other.join();
}

void test_exit_in_the_middle_of_a_job() {
  for (int i = 0; i < 20; ++i) {
    check_in_child([] {
      std::atomic<bool> begun = false;
      std::thread([&] {
        for (;;) parallel_for(2, 100, [&](std::size_t) noexcept { begun = true; });
      }).detach();
      wait_for(begun);
      std::exit(0);  // `begun` stays where it is: exit unwinds nothing
    });
  }
}

void test_signals_are_left_to_the_program() {
  bool blocked[2][2] = {};
  std::atomic<int> begun = 0;
  parallel_for(2, 2, [&](std::size_t part) noexcept {
    ++begun;
    while (begun.load() < 2) std::this_thread::yield();
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    blocked[part][0] = sigismember(&mask, SIGINT) == 1;
    blocked[part][1] = sigismember(&mask, SIGSEGV) == 1;
  });
  CHECK(!blocked[0][0] && !blocked[0][1]);
  CHECK(blocked[1][0] && !blocked[1][1]);
}

#ifdef __linux__

void test_more_threads_than_processors() {
  check_in_child([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    for (const std::size_t threads : {2, 8}) {
      meet(threads);
      check_chain(threads, 16, 20000);
    }
  });
}

#endif
#ifdef __GLIBC__

void test_threads_that_the_system_refuses() {
  check_in_child([] {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, std::size_t{1} << 50);  // more than can be addressed
    CHECK(pthread_setattr_default_np(&attributes) == 0);
    for (int i = 0; i < 3; ++i) check_alone(2, 10);
  });
}

#endif

}  // namespace
}  // namespace chainrule::test

int main() {
  chainrule::test::test_fork_while_idle();
  chainrule::test::test_fork_while_another_thread_is_in_a_job();
  chainrule::test::test_fork_at_any_moment();
  chainrule::test::test_exit_in_the_middle_of_a_job();
  chainrule::test::test_signals_are_left_to_the_program();
#ifdef __linux__
  chainrule::test::test_more_threads_than_processors();
#endif
#ifdef __GLIBC__
  chainrule::test::test_threads_that_the_system_refuses();
#endif
  return chainrule::test::failures();
}
