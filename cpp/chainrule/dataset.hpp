// Rows of inputs with their targets and weights, as the user holds them.
#pragma once

#include <optional>

#include "chainrule/buffer.hpp"
#include "chainrule/kernels.hpp"
#include "chainrule/random.hpp"
#include "chainrule/rows.hpp"
#include "chainrule/sparse.hpp"

namespace chainrule {

struct Dataset {
  Rows x;                       // (rows, features)
  Rows y;                       // (rows, outputs) values, or (rows, 1) class indices
  std::size_t classes = 0;      // how many there are where y has indices of them, else 0
  std::optional<Rows> weights;  // (rows, 1)
};

// Weights of rows lie between these, or are zero: then their products with losses, and the inverse of their
// sum, are normal numbers of a net of either kind.
template <class T>
inline constexpr double kLeastWeight = sizeof(T) == 4 ? 1e-30 : 1e-290;
template <class T>
inline constexpr double kMostWeight = sizeof(T) == 4 ? 1e30 : 1e290;

// Rows go through the net this many at a time, so that a chunk's activations stay in cache. Each chunk's
// gradient is one sum, added to those of the chunks before it: the chunk is part of the result's last bits.
inline constexpr std::size_t kChunkRows = 256;

// Consecutive positions in the order of an epoch; in the order of the data where `order` is null.
struct Batch {
  std::size_t first = 0;
  std::size_t count = 0;
  const Permutation* order = nullptr;
};

// Calls work(chunk) for the chunks of a batch, in order.
template <class Work>
void for_each_chunk(const Batch& batch, Work work) {
  for (std::size_t offset = 0; offset < batch.count; offset += kChunkRows) {
    const std::size_t left = batch.count - offset;
    work(Batch{batch.first + offset, left < kChunkRows ? left : kChunkRows, batch.order});
  }
}

// Turns chunks into blocks: in place where it can, else packed and cast into buffers of its own. A block
// is good until the next is read. Class indices out of range and weights below 0 were refused when the data
// came; of those that a user has written there since, the loss becomes NaN.
template <class T>
class BlockReader {
 public:
  Block<T> read(const Dataset& data, const Batch& chunk);
  // Inputs alone: a block without targets.
  Block<T> read(const Rows& x, const Batch& chunk);
  // What is stored of sparse inputs by columns, too, as gradients need it.
  void add_columns(Block<T>& block, std::size_t columns);
  // The sum of the weights of a batch of any size, or its number of rows where there are none.
  double weight_sum(const Dataset& data, const Batch& batch);

 private:
  RowRange rows_of(const Batch& chunk);
  void read_inputs(Block<T>& block, const Rows& x, const RowRange& range);

  Buffer<std::uint64_t> indices_;
  Buffer<T> x_;
  Compressed<T> stored_;
  Compressed<T> stored_by_column_;
  Buffer<T> y_;
  Buffer<T> weights_;
  Buffer<std::int32_t> labels_;
};

}  // namespace chainrule
