#include "chainrule/dataset.hpp"

#include <algorithm>
#include <limits>

namespace chainrule {
namespace {

template <class Out>
Out* packed(Buffer<Out>& buffer, const Rows& source, const RowRange& range) {
  buffer.reserve(range.count * source.columns);
  gather(buffer.data(), source.columns, source, range);
  return buffer.data();
}

template <class T>
const T* view(Buffer<T>& buffer, const Rows& source, const RowRange& range, std::ptrdiff_t& stride) {
  if (const T* rows = in_place<T>(source, range, stride)) return rows;
  stride = static_cast<std::ptrdiff_t>(source.columns);
  return packed(buffer, source, range);
}

template <class T>
constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();

// Weights that are too small count as zero, in the sum of all as in that of the losses.
template <class T>
const T* packed_weights(Buffer<T>& buffer, const Rows& source, const RowRange& range) {
  T* weights = packed(buffer, source, range);
  for (std::size_t i = 0; i < range.count; ++i) {
    if (static_cast<double>(weights[i]) < kLeastWeight<T>) weights[i] = weights[i] < 0 ? kNaN<T> : 0;
  }
  return weights;
}

bool are_below(const std::int32_t* labels, std::size_t count, std::size_t classes) {
  bool all = true;
  for (std::size_t i = 0; i < count; ++i) all &= static_cast<std::uint32_t>(labels[i]) < classes;
  return all;
}

}  // namespace

template <class T>
RowRange BlockReader<T>::rows_of(const Batch& chunk) {
  if (chunk.order == nullptr) return {chunk.first, chunk.count, nullptr};
  indices_.reserve(chunk.count);
  chunk.order->read(indices_.data(), chunk.first, chunk.count);
  return {0, chunk.count, indices_.data()};
}

template <class T>
void BlockReader<T>::read_inputs(Block<T>& block, const Rows& x, const RowRange& range) {
  block.rows = range.count;
  if (is_mostly_zero(x)) {
    stored_.read(x, range);
    block.stored = stored_.rows();
  } else {
    block.x = view(x_, x, range, block.x_stride);
  }
}

template <class T>
Block<T> BlockReader<T>::read(const Rows& x, const Batch& chunk) {
  Block<T> block;
  read_inputs(block, x, rows_of(chunk));
  return block;
}

template <class T>
Block<T> BlockReader<T>::read(const Dataset& data, const Batch& chunk) {
  const RowRange range = rows_of(chunk);
  Block<T> block;
  read_inputs(block, data.x, range);
  if (data.classes > 0) {
    block.targets.labels = packed(labels_, data.y, range);
  } else {
    block.targets.values = view(y_, data.y, range, block.targets.stride);
  }
  if (data.weights) block.targets.weights = packed_weights(weights_, *data.weights, range);
  if (data.classes > 0 && !are_below(block.targets.labels, range.count, data.classes)) {
    weights_.reserve(range.count);
    std::fill_n(weights_.data(), range.count, kNaN<T>);
    block.targets.weights = weights_.data();
  }
  return block;
}

template <class T>
void BlockReader<T>::add_columns(Block<T>& block, std::size_t columns) {
  if (block.stored.starts == nullptr) return;
  stored_by_column_.transpose(block.stored, block.rows, columns);
  block.stored_by_column = stored_by_column_.rows();
}

template <class T>
double BlockReader<T>::weight_sum(const Dataset& data, const Batch& batch) {
  if (!data.weights) return static_cast<double>(batch.count);
  double sum = 0;
  for_each_chunk(batch, [&](const Batch& chunk) {
    const T* weights = packed_weights(weights_, *data.weights, rows_of(chunk));
    for (std::size_t i = 0; i < chunk.count; ++i) sum += static_cast<double>(weights[i]);
  });
  return sum;
}

template class BlockReader<float>;
template class BlockReader<double>;

}  // namespace chainrule
