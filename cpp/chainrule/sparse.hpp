// Sparse rows on their way to the kernels: a block's stored elements, packed and cast, by rows and by
// columns.
#pragma once

#include "chainrule/buffer.hpp"
#include "chainrule/kernels.hpp"
#include "chainrule/rows.hpp"

namespace chainrule {

// Whether so few elements are stored that products of those alone are the faster.
bool is_mostly_zero(const Rows& source);

// What is stored of some rows of a sparse matrix, held in buffers of its own.
template <class T>
class Compressed {
 public:
  // Takes those rows.
  void read(const Rows& source, const RowRange& range);
  // Takes the transpose of `rows` rows of that many columns; what is in one column stays in order.
  void transpose(const CompressedRows<T>& from, std::size_t rows, std::size_t columns);

  CompressedRows<T> rows() const { return {starts_.data(), columns_.data(), values_.data()}; }

 private:
  void reserve(std::size_t rows, std::size_t stored);

  Buffer<std::uint64_t> starts_;
  Buffer<std::int32_t> columns_;
  Buffer<T> values_;
};

// Writes the rows to out (rows, columns), zeros and all.
template <class T>
void scatter(T* out, const CompressedRows<T>& from, std::size_t rows, std::size_t columns);

}  // namespace chainrule
