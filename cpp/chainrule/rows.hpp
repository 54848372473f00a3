// Someone else's matrix, of any element type and any strides: where data enters the core.
// Rows are read in place where they are already what the kernels read, else gathered and cast, a
// minibatch at a time. Never a copy of a whole data set, and never written to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

namespace chainrule {

enum class ScalarType {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64
};

inline bool is_integer(ScalarType type) {
  return type != ScalarType::float16 && type != ScalarType::float32 && type != ScalarType::float64;
}

// Where the stored elements of compressed sparse rows (CSR) are: those of row i are the starts[i]-th to the
// one before starts[i + 1], each in its column. All others are zero.
struct Sparsity {
  const std::uint64_t* starts;
  const std::int32_t* columns;
};

struct Rows {
  const std::byte* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::ptrdiff_t row_stride = 0;  // in bytes, as is column_stride; both may be negative or odd
  std::ptrdiff_t column_stride = 0;
  ScalarType type = ScalarType::float64;
  const Sparsity* sparsity = nullptr;  // data then holds stored elements, column_stride bytes apart
};

// Which rows to read: those from `first` on, or, where `indices` is not null, those that it lists.
struct RowRange {
  std::size_t first = 0;
  std::size_t count = 0;
  const std::uint64_t* indices = nullptr;
};

// Writes the rows to out (count, columns), `stride` elements apart, cast to Out.
template <class Out>
void gather(Out* out, std::size_t stride, const Rows& source, const RowRange& range);

// The address of row `first` if rows can be read in place as (count, columns) of T, `stride` apart.
template <class T>
const T* in_place(const Rows& source, const RowRange& range, std::ptrdiff_t& stride);

// The first (row, column) whose value, if it is stored, lies outside [low, high] or is not a number.
std::optional<std::pair<std::size_t, std::size_t>> first_outside(const Rows& source, double low, double high);

// The first whose value is infinite, undefined, or becomes infinite as a T.
template <class T>
std::optional<std::pair<std::size_t, std::size_t>> first_nonfinite(const Rows& source) {
  if (is_integer(source.type)) return std::nullopt;  // the largest of 64 bits fits
  constexpr double largest = static_cast<double>(std::numeric_limits<T>::max());
  return first_outside(source, -largest, largest);
}

}  // namespace chainrule
