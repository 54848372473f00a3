// Philox against published numbers, and permutations that visit every row once.
#include <cstdint>
#include <vector>

#include "chainrule/random.hpp"
#include "check.hpp"

namespace chainrule {
namespace {

void test_philox_known_answer() {
  // The first block of Philox4x64-10 for the key 0, 0 at counter 1, as NumPy's generator prints it.
  Philox random(0, 0);
  for (const std::uint64_t expected : {0x2f4ba6408e4d89bu, 0x3dd62b0b9ca8c5b2u, 0x1c8667a55d902e79u,
                                       0x907d7a052fd5b4dcu, 0x809bf322883987c3u, 0x471128b9e807f7ddu})
    CHECK(random.next() == expected);
}

void test_below() {
  Philox random(1, 2);
  for (int i = 0; i < 1000; ++i) {
    CHECK(random.below(1) == 0);
    CHECK(random.below(7) < 7);
    CHECK(random.below(std::uint64_t{1} << 63) < std::uint64_t{1} << 63);
  }
}

std::vector<std::uint64_t> order(std::uint64_t seed, std::uint64_t epoch, std::size_t size) {
  Permutation permutation;
  permutation.reset(seed, epoch, size);
  std::vector<std::uint64_t> rows(size);
  permutation.read(rows.data(), 0, size);
  return rows;
}

void test_every_row_once() {
  for (const std::size_t size : {0, 1, 2, 3, 7, 1000, 65535, 65536, 65537, 100003, 131072}) {
    std::vector<int> visits(size);
    for (const std::uint64_t row : order(5, 3, size)) {
      CHECK(row < size);
      if (row < size) ++visits[row];
    }
    for (const int count : visits) CHECK(count == 1);
  }
}

void test_parts_are_parts_of_the_whole() {
  for (const std::size_t size : {100, 70000}) {
    const std::vector<std::uint64_t> whole = order(5, 3, size);
    Permutation permutation;
    permutation.reset(5, 3, size);
    for (std::size_t first = 0; first < size; first += 33) {
      const std::size_t count = first + 33 < size ? 33 : size - first;
      std::vector<std::uint64_t> part(count);
      permutation.read(part.data(), first, count);
      for (std::size_t i = 0; i < count; ++i) CHECK(part[i] == whole[first + i]);
    }
  }
}

void test_seed_and_epoch() {
  for (const std::size_t size : {100, 70000}) {
    CHECK(order(5, 3, size) == order(5, 3, size));
    CHECK(order(5, 3, size) != order(5, 4, size));
    CHECK(order(5, 3, size) != order(6, 3, size));
  }
}

}  // namespace
}  // namespace chainrule

int main() {
  chainrule::test_philox_known_answer();
  chainrule::test_below();
  chainrule::test_every_row_once();
  chainrule::test_parts_are_parts_of_the_whole();
  chainrule::test_seed_and_epoch();
  return chainrule::test::failures();
}
