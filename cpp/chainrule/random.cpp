#include "chainrule/random.hpp"

#include <bit>
#include <numeric>
#include <utility>

namespace chainrule {
namespace {

__extension__ using Uint128 = unsigned __int128;

// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every input bit moves every output bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

void Philox::refill() {
  constexpr std::uint64_t multiplier0 = 0xd2e7470ee14c6c93u, multiplier1 = 0xca5a826395121157u;
  constexpr std::uint64_t weyl0 = 0x9e3779b97f4a7c15u, weyl1 = 0xbb67ae8584caa73bu;
  constexpr int rounds = 10;
  block_ = {++counter_, 0, 0, 0};
  auto [key0, key1] = key_;
  for (int round = 0; round < rounds; ++round, key0 += weyl0, key1 += weyl1) {
    const Uint128 product0 = Uint128{multiplier0} * block_[0];
    const Uint128 product1 = Uint128{multiplier1} * block_[2];
    block_ = {
        static_cast<std::uint64_t>(product1 >> 64) ^ block_[1] ^ key0, static_cast<std::uint64_t>(product1),
        static_cast<std::uint64_t>(product0 >> 64) ^ block_[3] ^ key1, static_cast<std::uint64_t>(product0)};
  }
  used_ = 0;
}

std::uint64_t Philox::below(std::uint64_t bound) {
  return static_cast<std::uint64_t>(Uint128{next()} * bound >> 64);
}

void Permutation::reset(std::uint64_t seed, std::uint64_t epoch, std::size_t size) {
  constexpr std::uint64_t shuffle_stream = 1;  // the weights were drawn from stream 0
  // The epoch is spread over the key, so that neighbouring epochs share nothing.
  Philox random(seed, mix(epoch) ^ shuffle_stream);
  size_ = size;
  if (size <= kListed) {
    list_.resize(size);
    std::iota(list_.begin(), list_.end(), 0u);
    for (std::size_t i = size; i > 1; --i) std::swap(list_[i - 1], list_[random.below(i)]);
    return;
  }
  const int bits = std::bit_width(size - 1);
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
  for (std::uint64_t& key : round_keys_) key = random.next();
}

void Permutation::read(std::uint64_t* rows, std::size_t first, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    if (size_ <= kListed) {
      rows[i] = list_[first + i];
      continue;
    }
    // Following the cycle until it re-enters [0, size) keeps the map a permutation; at most 2 steps on
    // average.
    std::uint64_t row = encrypt(first + i);
    while (row >= size_) row = encrypt(row);
    rows[i] = row;
  }
}

std::uint64_t Permutation::encrypt(std::uint64_t position) const {
  std::uint64_t low = position & ((std::uint64_t{1} << low_bits_) - 1);
  std::uint64_t high = position >> low_bits_;
  for (int round = 0; round < kRounds; round += 2) {
    high ^= mix(low ^ round_keys_[round]) & ((std::uint64_t{1} << high_bits_) - 1);
    low ^= mix(high ^ round_keys_[round + 1]) & ((std::uint64_t{1} << low_bits_) - 1);
  }
  return high << low_bits_ | low;
}

}  // namespace chainrule
