#include "chainrule/threads.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "chainrule/kernels.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace chainrule {
namespace {

// How long to look for news before sleeping: some times what it takes to wake a thread, and more than what
// lies between the jobs of a training step.
constexpr std::chrono::microseconds kSpin{50};

// Tells the processor that the thread is waiting.
void cpu_pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // `yield` takes no time on most of these processors
#endif
}

// True as soon as `happened()` is; false where it was not for the time of kSpin. Yields, because the thread
// that is waited for may be queueing for the same processor.
template <class Condition>
bool spin_until(Condition happened) noexcept {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      if (happened()) return true;
      cpu_pause();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() - start < kSpin);
  return false;
}

struct Task {
  PartRange run;
  void* work;
  std::size_t first, last;

  void operator()() const noexcept { run(work, first, last); }
};

// Where a thread may run. Some systems wake a thread on the processor of whoever wakes it and leave it there,
// queueing, while another has nothing to do: measured on a virtual machine, two threads shared one of two
// processors for good.
class Place {
 public:
#ifdef __linux__
  // Called by another thread, which stays where it is: moves this one off that processor, until `free`. The
  // two are never called at once (Worker::state_).
  void move_away(pthread_t thread) noexcept {
    if (moved_.load(std::memory_order_relaxed) || pthread_getaffinity_np(thread, sizeof all_, &all_) != 0)
      return;
    cpu_set_t others = all_;
    CPU_CLR(static_cast<std::size_t>(sched_getcpu()), &others);
    if (CPU_COUNT(&others) == 0 || pthread_setaffinity_np(thread, sizeof others, &others) != 0) return;
    moved_.store(true, std::memory_order_release);
  }
  // Called by this thread.
  void free() noexcept {
    if (!moved_.load(std::memory_order_relaxed) || !moved_.exchange(false, std::memory_order_acquire)) return;
    pthread_setaffinity_np(pthread_self(), sizeof all_, &all_);
  }

 private:
  cpu_set_t all_;
  std::atomic<bool> moved_ = false;
#else
  void move_away(std::thread::native_handle_type) noexcept {}
  void free() noexcept {}
#endif
};

// A thread, and the place where it and the caller meet.
//
// Who changes `state_` hands over `task_` and all memory that the task reads or writes: every change that
// does so is a release, every look that acts on it an acquire. All changes are read-modify-writes of this one
// atomic, so a sleeper is seen by whoever has news for it, without stronger orders.
class alignas(kAlignment) Worker {
 public:
  // Starts the worker's thread. It is never joined.
  void start() {
    std::thread thread(&Worker::serve, this);
    handle_ = thread.native_handle();
    thread.detach();
  }

  // Run by the worker's own thread, for ever.
  [[noreturn]] void serve() noexcept {
    for (;;) {
      if (!spin_until([this] { return state_.load(std::memory_order_relaxed) == State::posted; })) sleep();
      State expected = State::posted;
      if (!state_.compare_exchange_strong(expected, State::running, std::memory_order_acquire)) continue;
      place_.free();
      task_();
      if (state_.exchange(State::idle, std::memory_order_acq_rel) == State::awaited) wake();
    }
  }

  void post(const Task& task) noexcept {
    task_ = task;
    if (state_.exchange(State::posted, std::memory_order_acq_rel) == State::asleep) wake();
  }

  // Returns when the posted task is done. One that the worker has not begun, because it is still waking up or
  // has no processor, is done by the caller: a job never takes longer than on one thread because of a late
  // worker.
  void finish() noexcept {
    State expected = State::posted;
    if (state_.compare_exchange_strong(expected, State::idle, std::memory_order_acquire)) {
      if (++late_ % kPatience == 0) place_.move_away(handle_);
      return task_();
    }
    late_ = 0;
    if (spin_until([this] { return state_.load(std::memory_order_acquire) != State::running; })) return;
    std::unique_lock lock(mutex_);
    expected = State::running;
    if (!state_.compare_exchange_strong(expected, State::awaited, std::memory_order_acquire)) return;
    changed_.wait(lock, [this] { return state_.load(std::memory_order_acquire) != State::awaited; });
  }

 private:
  enum class State { idle, asleep, posted, running, awaited };

  static constexpr int kPatience = 3;

  // Until there is, or was, a task.
  void sleep() noexcept {
    std::unique_lock lock(mutex_);
    State expected = State::idle;
    if (!state_.compare_exchange_strong(expected, State::asleep, std::memory_order_relaxed)) return;
    changed_.wait(lock, [this] { return state_.load(std::memory_order_relaxed) != State::asleep; });
  }

  void wake() noexcept {
    {
      const std::lock_guard lock(mutex_);
    }  // the sleeper holds it from its last look until it sleeps
    changed_.notify_one();
  }

  std::atomic<State> state_ = State::idle;
  Task task_{};
  int late_ = 0;  // tasks in a row that it had not begun when the caller was done
  Place place_;
  std::thread::native_handle_type handle_{};
  std::mutex mutex_;
  std::condition_variable changed_;
};

#ifndef _WIN32
// While it lives, threads are started that leave signals to those of the program; faults stay where they
// happen.
class WithoutSignals {
 public:
  WithoutSignals() noexcept {
    sigset_t others;
    sigfillset(&others);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&others, fault);
    pthread_sigmask(SIG_SETMASK, &others, &before_);
  }
  ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WithoutSignals(const WithoutSignals&) = delete;
  WithoutSignals& operator=(const WithoutSignals&) = delete;

 private:
  sigset_t before_;
};
#else
struct WithoutSignals {};
#endif

struct Pool {
  std::vector<Worker*> workers;
  bool full = false;  // the system refused another thread
};

// The pool belongs to whoever set `taken`. It is never destroyed and its threads are never joined: at the end
// of the process a daemon thread may still be in the middle of a job, and would be waited for, or meet
// destroyed workers. Threads end with the process.
constinit std::atomic<bool> taken = false;
constinit Pool* pool = nullptr;
constinit std::atomic<unsigned> forks_before = 0;

#ifndef _WIN32
// A child of fork has none of the threads, and maybe half a job of one: it leaves them behind and starts
// anew. Registered as the library is loaded, before any thread can fork in the middle of it.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] {
  pool = nullptr;
  taken.store(false, std::memory_order_relaxed);
  forks_before.fetch_add(1, std::memory_order_relaxed);
});
#endif

// Starts workers until there are `wanted`; returns how many of them there are, fewer where the system
// refuses.
std::size_t start_workers(std::size_t wanted) noexcept {
  if (pool != nullptr && (pool->workers.size() >= wanted || pool->full))
    return std::min(wanted, pool->workers.size());
  try {
    [[maybe_unused]] const WithoutSignals blocked;
    if (pool == nullptr) pool = new Pool;
    pool->workers.reserve(wanted);
    while (pool->workers.size() < wanted) {
      auto worker = std::make_unique<Worker>();
      worker->start();
      pool->workers.push_back(worker.release());
    }
  } catch (const std::exception&) {
    if (pool == nullptr) return 0;
    pool->full = true;
  }
  return pool->workers.size();
}

}  // namespace

unsigned forks() noexcept { return forks_before.load(std::memory_order_relaxed); }

void share_parts(std::size_t threads, std::size_t parts, PartRange run, void* work) noexcept {
  if (taken.exchange(true, std::memory_order_acquire)) return run(work, 0, parts);
  threads = start_workers(std::min(threads, parts) - 1) + 1;
  for (std::size_t t = 1; t < threads; ++t)
    pool->workers[t - 1]->post({run, work, parts * t / threads, parts * (t + 1) / threads});
  run(work, 0, parts / threads);
  for (std::size_t t = 1; t < threads; ++t) pool->workers[t - 1]->finish();
  taken.store(false, std::memory_order_release);
}

}  // namespace chainrule
