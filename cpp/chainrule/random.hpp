// Random numbers and permutations that are the same on every platform for the same seed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace chainrule {

// Philox4x64-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011:
// a block cipher run over a counter, so any part of the stream can be had without what comes before it.
class Philox {
 public:
  Philox(std::uint64_t key0, std::uint64_t key1) : key_{key0, key1} {}

  std::uint64_t next() {
    if (used_ == 4) refill();
    return block_[used_++];
  }

  // Uniform in [0, bound) to within bound / 2^64.
  std::uint64_t below(std::uint64_t bound);

 private:
  void refill();

  std::array<std::uint64_t, 2> key_;
  std::uint64_t counter_ = 0;
  std::array<std::uint64_t, 4> block_{};
  int used_ = 4;
};

// The order in which an epoch visits `size` rows, in memory that does not grow with `size`.
// Up to kListed rows it is a Fisher-Yates shuffle of a list. Beyond, row i is encrypted by a Feistel
// network on the smallest even-or-odd number of bits that holds `size`, again until it is below `size`.
class Permutation {
 public:
  static constexpr std::size_t kListed = std::size_t{1} << 16;

  void reset(std::uint64_t seed, std::uint64_t epoch, std::size_t size);
  // Writes the rows at positions [first, first + count).
  void read(std::uint64_t* rows, std::size_t first, std::size_t count) const;

 private:
  static constexpr int kRounds = 6;

  std::uint64_t encrypt(std::uint64_t position) const;

  std::size_t size_ = 0;
  std::vector<std::uint32_t> list_;
  std::array<std::uint64_t, kRounds> round_keys_{};
  int low_bits_ = 0;
  int high_bits_ = 0;
};

}  // namespace chainrule
