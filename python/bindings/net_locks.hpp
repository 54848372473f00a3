// Who may use a net now. Training has the net to itself, predictions share it. Who comes while the net is
// trained is told that it is busy; training waits for predictions under way, so that they cannot end a fit.
// Between the epochs of a fit, others may predict, and only the fit's own thread may train, as callbacks do.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <thread>

#include "chainrule/threads.hpp"
#include "gil.hpp"

namespace chainrule::bindings {

[[noreturn]] inline void throw_busy() {
  throw std::runtime_error(
      "the net is busy: another thread, or a call that this one is made within, is using it");
}

// The locks of one net.
class NetLocks {
 public:
  struct Locks {
    std::mutex training;
    std::shared_mutex readers;
    std::atomic<bool> wanted = false;           // somebody waits for the readers
    std::atomic<std::thread::id> claimed_by{};  // the thread of a fit, for all of its epochs
    unsigned forks = chainrule::forks();
  };

  // In a child of fork, what other threads held is nobody's, and stays locked: it is left behind.
  Locks& now() {
    if (locks_->forks != chainrule::forks()) {
      static_cast<void>(locks_.release());
      locks_ = std::make_unique<Locks>();
    }
    return *locks_;
  }

 private:
  std::unique_ptr<Locks> locks_ = std::make_unique<Locks>();
};

// A use of a net by this thread, in the middle of which Python may run: the handler of a signal, or what the
// garbage collector calls. It may not train the net, also not in a child of fork, where the locks are new.
class Use {
 public:
  explicit Use(const NetLocks& net) : net_(net) { innermost_ = this; }
  ~Use() { innermost_ = outer_; }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  static bool goes_on(const NetLocks& net) {
    const Use* each = innermost_;
    while (each != nullptr && &each->net_ != &net) each = each->outer_;
    return each != nullptr;
  }

 private:
  inline static constinit thread_local const Use* innermost_ = nullptr;

  const NetLocks& net_;
  const Use* outer_ = innermost_;
};

// Training is for this thread alone, while this lives; within another claim of the thread, this is nothing.
class Claim {
 public:
  explicit Claim(NetLocks& net) : locks_(net.now()) {
    std::thread::id nobody;
    outermost_ = locks_.claimed_by.compare_exchange_strong(nobody, std::this_thread::get_id());
    // Who trains already ends first; a handler of a signal in the middle of an epoch has no claim either.
    const bool mine = outermost_ || nobody == std::this_thread::get_id();
    if (mine && !Use::goes_on(net) && std::unique_lock(locks_.training, std::try_to_lock)) return;
    release();
    throw_busy();
  }
  ~Claim() { release(); }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  void release() {
    if (outermost_) locks_.claimed_by = std::thread::id();
  }

  NetLocks::Locks& locks_;
  bool outermost_;
};

// What belongs to training is for this thread alone, while this lives; others may predict.
class Training {
 public:
  explicit Training(NetLocks& net) : lock_(begin(net)), use_(net) {}

 private:
  static std::unique_lock<std::mutex> begin(NetLocks& net) {
    if (Use::goes_on(net)) throw_busy();
    NetLocks::Locks& locks = net.now();
    std::unique_lock training(locks.training, std::try_to_lock);
    const std::thread::id claimed_by = locks.claimed_by;
    const bool by_another = claimed_by != std::thread::id() && claimed_by != std::this_thread::get_id();
    if (!training || by_another) throw_busy();
    return training;
  }

  std::unique_lock<std::mutex> lock_;
  Use use_;
};

// The net to itself, while this lives.
class Alone {
 public:
  explicit Alone(NetLocks& net) : training_(net), readers_(end_of_readers(net.now())) {}

 private:
  // Keeps new readers out, and looks for Ctrl-C.
  static std::unique_lock<std::shared_mutex> end_of_readers(NetLocks::Locks& locks) {
    std::unique_lock readers(locks.readers, std::try_to_lock);
    if (readers) return readers;
    locks.wanted = true;
    while (!readers.try_lock()) {
      {
        const WithoutGil released;
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
      if (locks.forks != chainrule::forks()) throw_busy();  // a child of a handler's, without the readers
      if (PyErr_CheckSignals() != 0) {
        locks.wanted = false;
        throw pybind11::error_already_set();
      }
    }
    locks.wanted = false;
    return readers;
  }

  Training training_;
  std::unique_lock<std::shared_mutex> readers_;
};

// The net among other readers, while this lives, without any Python.
class BrieflyShared {
 public:
  explicit BrieflyShared(NetLocks& net) {
    NetLocks::Locks& locks = net.now();
    lock_ = std::shared_lock(locks.readers, std::defer_lock);
    if (locks.wanted || !lock_.try_lock()) throw_busy();
  }

 private:
  std::shared_lock<std::shared_mutex> lock_;
};

// The same, where Python may run.
class Shared {
 public:
  explicit Shared(NetLocks& net) : lock_(net), use_(net) {}

 private:
  BrieflyShared lock_;
  Use use_;
};

}  // namespace chainrule::bindings
