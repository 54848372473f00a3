// An allocator that fails when it is told to, for LD_PRELOAD: between failing_malloc_start and
// failing_malloc_stop allocations are counted, and the n-th fails.
#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

std::atomic<long> seen{0};
std::atomic<long> failing{0};  // 0: none

// Rust ends the process where an allocation fails, and safetensors is written in it: nobody could mend that
// here.
bool is_rust(void* caller) noexcept {
  Dl_info library;
  return dladdr(caller, &library) != 0 && std::strstr(library.dli_fname, "safetensors_rust") != nullptr;
}

bool fails(void* caller) noexcept {
  const long n = failing.load(std::memory_order_relaxed);
  if (n == 0 || is_rust(caller) || seen.fetch_add(1, std::memory_order_relaxed) + 1 != n) return false;
  errno = ENOMEM;
  return true;
}

// The size of the node in which pybind11 registers a new object; where there is none, it frees the object
// twice.
constexpr std::size_t kRegistration = 24;

}  // namespace

extern "C" {

void failing_malloc_start(long n) {
  seen = 0;
  failing = n;
}

// Returns how many allocations there were.
long failing_malloc_stop() {
  failing = 0;
  return seen;
}

void* malloc(std::size_t size) { return fails(__builtin_return_address(0)) ? nullptr : __libc_malloc(size); }

void* calloc(std::size_t count, std::size_t size) {
  return fails(__builtin_return_address(0)) ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* old, std::size_t size) {
  return size > 0 && fails(__builtin_return_address(0)) ? nullptr : __libc_realloc(old, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  return fails(__builtin_return_address(0)) ? nullptr : __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails(__builtin_return_address(0)) ? nullptr : __libc_memalign(alignment, size);
}

int posix_memalign(void** to, std::size_t alignment, std::size_t size) {
  void* data = fails(__builtin_return_address(0)) ? nullptr : __libc_memalign(alignment, size);
  if (data == nullptr) return ENOMEM;
  *to = data;
  return 0;
}
}

void* operator new(std::size_t size) {
  void* data = size == kRegistration ? __libc_malloc(size) : malloc(size);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
