// A zero-filled, cache-line aligned array of one kind of number: an arena.
// Not a container: it never grows element by element, and knows no shapes.
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "chainrule/kernels.hpp"

namespace chainrule {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : size_(size), data_(allocate(size)) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

  // Makes room for `size` numbers; what was held is lost.
  void reserve(std::size_t size) {
    if (size > size_) *this = Buffer(size);
  }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete(data, std::align_val_t{kAlignment}); }
  };

  // One cache line more than asked: a kernel may read a full vector from the last element on.
  static std::unique_ptr<T[], Free> allocate(std::size_t size) {
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T) / 2) throw std::bad_alloc();
    const std::size_t bytes = padded<T>(size) * sizeof(T) + kAlignment;
    void* data = ::operator new(bytes, std::align_val_t{kAlignment});
    std::memset(data, 0, bytes);
    return std::unique_ptr<T[], Free>(static_cast<T*>(data));
  }

  std::size_t size_ = 0;
  std::unique_ptr<T[], Free> data_;
};

}  // namespace chainrule
