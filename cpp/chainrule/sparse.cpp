#include "chainrule/sparse.hpp"

#include <algorithm>

namespace chainrule {

bool is_mostly_zero(const Rows& source) {
  if (source.sparsity == nullptr) return false;
  // Measured, of 80 to 3000 columns and 8 and 100 units: dense products are the faster from between an eighth
  // and a quarter on (of one unit, from a twelfth on). More columns than the nets have that `Tiny` suits.
  constexpr std::size_t least_columns = 64, share = 8;
  const std::uint64_t stored = source.sparsity->starts[source.rows];
  return source.columns >= least_columns && stored / source.rows < source.columns / share;
}

template <class T>
void Compressed<T>::reserve(std::size_t rows, std::size_t stored) {
  starts_.reserve(rows + 2);
  columns_.reserve(stored);
  values_.reserve(stored);
}

template <class T>
void Compressed<T>::read(const Rows& source, const RowRange& range) {
  const auto [first_of, columns] = *source.sparsity;
  const auto row_at = [&range](std::size_t i) {
    return range.indices == nullptr ? range.first + i : range.indices[i];
  };
  std::size_t stored = 0;
  for (std::size_t i = 0; i < range.count; ++i) stored += first_of[row_at(i) + 1] - first_of[row_at(i)];
  reserve(range.count, stored);
  std::uint64_t* starts = starts_.data();
  starts[0] = 0;
  for (std::size_t i = 0; i < range.count; ++i) {
    const std::uint64_t first = first_of[row_at(i)], count = first_of[row_at(i) + 1] - first;
    std::copy_n(columns + first, count, columns_.data() + starts[i]);
    Rows values = source;
    values.sparsity = nullptr;
    values.data += static_cast<std::ptrdiff_t>(first) * source.column_stride;
    values.rows = 1, values.columns = count;
    gather(values_.data() + starts[i], count, values, {0, 1, nullptr});
    starts[i + 1] = starts[i] + count;
  }
}

template <class T>
void Compressed<T>::transpose(const CompressedRows<T>& from, std::size_t rows, std::size_t columns) {
  const std::uint64_t first = from.starts[0], end = from.starts[rows];
  reserve(columns, end - first);
  // While the elements find their places, starts[j + 1] is where the next of column j goes: its start in the
  // end.
  std::uint64_t* starts = starts_.data();
  std::fill_n(starts, columns + 2, 0);
  const auto column = [&from](std::uint64_t k) { return static_cast<std::size_t>(from.columns[k]); };
  for (std::uint64_t k = first; k < end; ++k) ++starts[column(k) + 2];
  for (std::size_t j = 2; j <= columns; ++j) starts[j] += starts[j - 1];
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::uint64_t k = from.starts[i]; k < from.starts[i + 1]; ++k) {
      const std::uint64_t to = starts[column(k) + 1]++;
      columns_.data()[to] = static_cast<std::int32_t>(i);
      values_.data()[to] = from.values[k];
    }
  }
}

template <class T>
void scatter(T* out, const CompressedRows<T>& from, std::size_t rows, std::size_t columns) {
  std::fill_n(out, rows * columns, T(0));
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::uint64_t k = from.starts[i]; k < from.starts[i + 1]; ++k)
      out[i * columns + static_cast<std::size_t>(from.columns[k])] += from.values[k];
  }
}

template class Compressed<float>;
template class Compressed<double>;
template void scatter(float*, const CompressedRows<float>&, std::size_t, std::size_t);
template void scatter(double*, const CompressedRows<double>&, std::size_t, std::size_t);

}  // namespace chainrule
