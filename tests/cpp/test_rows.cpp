// Rows of every element type and stride: gathered, cast, read in place, searched.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "chainrule/rows.hpp"
#include "chainrule/sparse.hpp"
#include "check.hpp"

namespace chainrule {
namespace {

template <class In>
Rows rows_of(const std::vector<In>& values, std::size_t columns, ScalarType type) {
  const auto size = static_cast<std::ptrdiff_t>(sizeof(In));
  return {reinterpret_cast<const std::byte*>(values.data()),
          values.size() / columns,
          columns,
          static_cast<std::ptrdiff_t>(columns) * size,
          size,
          type};
}

template <class In>
void casts_every_value(ScalarType type, const std::vector<In>& values) {
  const Rows source = rows_of(values, 1, type);
  std::vector<float> floats(values.size());
  std::vector<double> doubles(values.size());
  gather(floats.data(), 1, source, {0, values.size(), nullptr});
  gather(doubles.data(), 1, source, {0, values.size(), nullptr});
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(floats[i] == static_cast<float>(values[i]));
    CHECK(doubles[i] == static_cast<double>(values[i]));
  }
}

template <class In>
void casts_integers(ScalarType type) {
  using Limits = std::numeric_limits<In>;
  casts_every_value<In>(
      type, {Limits::min(), Limits::max(), In{0}, In{1}, In{100}, static_cast<In>(Limits::max() / 2)});
}

void test_casts() {
  casts_integers<std::int8_t>(ScalarType::int8);
  casts_integers<std::int16_t>(ScalarType::int16);
  casts_integers<std::int32_t>(ScalarType::int32);
  casts_integers<std::int64_t>(ScalarType::int64);
  casts_integers<std::uint8_t>(ScalarType::uint8);
  casts_integers<std::uint16_t>(ScalarType::uint16);
  casts_integers<std::uint32_t>(ScalarType::uint32);
  casts_integers<std::uint64_t>(ScalarType::uint64);
  casts_every_value<std::uint8_t>(ScalarType::boolean, {0, 1});
  casts_every_value<float>(ScalarType::float32, {0.0f, -1.5f, 3e38f, 1e-45f});
  casts_every_value<double>(ScalarType::float64, {0.0, -1.5, 1e38, 1e-300, 1.0 / 3});
}

// A half by its definition: sign, exponent and fraction put together by ldexp.
double half_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value =
        fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(1024 + fraction, exponent - 25);
  }
  return bits >> 15 != 0 ? -value : value;
}

void test_every_half() {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  std::vector<float> floats(bits.size());
  gather(floats.data(), 1, rows_of(bits, 1, ScalarType::float16), {0, bits.size(), nullptr});
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double expected = half_value(bits[i]);
    CHECK(std::isnan(expected) ? std::isnan(floats[i]) : static_cast<double>(floats[i]) == expected);
    CHECK(std::signbit(floats[i]) == (bits[i] >> 15 != 0));
  }
}

// The number at row i, column j of the matrices below.
float entry(std::size_t i, std::size_t j) { return static_cast<float>(10 * i + j); }

void test_strides_and_indices() {
  constexpr std::size_t rows = 5, columns = 3, wide = 7;
  std::vector<float> memory(rows * wide);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) memory[i * wide + 2 * j] = entry(i, j);
  }
  const auto* first = reinterpret_cast<const std::byte*>(memory.data());
  const Rows forwards{first, rows, columns, wide * 4, 8, ScalarType::float32};
  const Rows backwards{first + (rows - 1) * wide * 4 + 16, rows, columns,
                       -std::ptrdiff_t{wide * 4},          -8,   ScalarType::float32};
  const std::array<std::uint64_t, 4> indices{4, 0, 0, 3};
  std::vector<double> out(indices.size() * 4, -1.0);
  gather(out.data(), 4, forwards, {0, indices.size(), indices.data()});
  for (std::size_t i = 0; i < indices.size(); ++i) {
    for (std::size_t j = 0; j < columns; ++j) CHECK(out[i * 4 + j] == entry(indices[i], j));
    CHECK(out[i * 4 + columns] == -1.0);  // what lies between the rows is left alone
  }
  gather(out.data(), 4, backwards, {1, 2, nullptr});
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < columns; ++j) CHECK(out[i * 4 + j] == entry(rows - 2 - i, columns - 1 - j));
  }
}

void test_misaligned() {
  std::vector<std::byte> memory(1 + 6 * sizeof(double));
  for (std::size_t i = 0; i < 6; ++i) {
    const double value = static_cast<double>(i) + 0.5;
    std::memcpy(memory.data() + 1 + i * sizeof(double), &value, sizeof value);
  }
  const Rows source{memory.data() + 1, 3, 2, 2 * sizeof(double), sizeof(double), ScalarType::float64};
  std::vector<double> out(6);
  gather(out.data(), 2, source, {0, 3, nullptr});
  for (std::size_t i = 0; i < 6; ++i) CHECK(out[i] == static_cast<double>(i) + 0.5);
  std::ptrdiff_t stride = 0;
  CHECK(in_place<double>(source, {0, 3, nullptr}, stride) == nullptr);
}

void test_in_place() {
  const std::vector<float> values(12);
  const Rows plain = rows_of(values, 3, ScalarType::float32);
  std::ptrdiff_t stride = 0;
  CHECK(in_place<float>(plain, {0, 4, nullptr}, stride) == values.data());
  CHECK(stride == 3);
  CHECK(in_place<float>(plain, {2, 2, nullptr}, stride) == values.data() + 6);
  CHECK(in_place<double>(plain, {0, 4, nullptr}, stride) == nullptr);
  const std::uint64_t index = 0;
  CHECK(in_place<float>(plain, {0, 1, &index}, stride) == nullptr);

  Rows every_second = plain;
  every_second.row_stride *= 2;
  every_second.rows = 2;
  CHECK(in_place<float>(every_second, {1, 1, nullptr}, stride) == values.data() + 6);
  CHECK(stride == 6);
  Rows backwards = plain;
  backwards.data += 3 * plain.row_stride;
  backwards.row_stride = -plain.row_stride;
  CHECK(in_place<float>(backwards, {1, 3, nullptr}, stride) == values.data() + 6);
  CHECK(stride == -3);

  Rows columns_apart = plain;
  columns_apart.column_stride = 8;
  columns_apart.columns = 2;
  CHECK(in_place<float>(columns_apart, {0, 2, nullptr}, stride) == nullptr);
  columns_apart.columns = 1;  // the stride of an axis of length 1 means nothing
  CHECK(in_place<float>(columns_apart, {0, 2, nullptr}, stride) == values.data());
  Rows odd_rows = plain;
  odd_rows.row_stride = 13;
  CHECK(in_place<float>(odd_rows, {0, 2, nullptr}, stride) == nullptr);
  CHECK(in_place<float>(odd_rows, {0, 1, nullptr}, stride) == values.data());
}

void test_search() {
  constexpr std::size_t rows = 3, columns = 2500;  // more columns than are looked at in one go
  std::vector<double> values(rows * columns, 1.0);
  const Rows source = rows_of(values, columns, ScalarType::float64);
  CHECK(!first_outside(source, 0, 1));
  CHECK(!first_nonfinite<double>(source));
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{1023}, std::size_t{1024}, columns - 1, rows * columns - 1}) {
    const std::pair<std::size_t, std::size_t> place{at / columns, at % columns};
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()}) {
      values[at] = bad;
      CHECK(first_nonfinite<double>(source) == place);
      CHECK(first_outside(source, 0, 1) == place);
    }
    values[at] = 1e39;
    CHECK(!first_nonfinite<double>(source));
    CHECK(first_nonfinite<float>(source) == place);
    values[at] = 1.0;
  }
  values[5] = -0.5;
  values[columns + 7] = 2;
  CHECK(first_outside(source, 0, 1) == std::pair(std::size_t{0}, std::size_t{5}));
  CHECK(first_outside(source, -1, 1) == std::pair(std::size_t{1}, std::size_t{7}));

  const std::vector<std::uint64_t> labels{0, 3, std::numeric_limits<std::uint64_t>::max()};
  CHECK(first_outside(rows_of(labels, 1, ScalarType::uint64), 0, 3) ==
        std::pair(std::size_t{2}, std::size_t{0}));
  CHECK(!first_nonfinite<float>(rows_of(labels, 1, ScalarType::uint64)));
}

void test_sparse() {
  const std::vector<float> stored{1, 2, 3, 4};
  const std::vector<std::uint64_t> starts{0, 2, 2, 4};  // nothing in the row between
  const std::vector<std::int32_t> columns{0, 3, 2, 1};
  const Sparsity sparsity{starts.data(), columns.data()};
  Rows source = rows_of(stored, 1, ScalarType::float32);
  source.rows = 3, source.columns = 4, source.sparsity = &sparsity;

  constexpr double untouched = -7;
  std::vector<double> out(3 * 5, untouched);
  gather(out.data(), 5, source, {0, 3, nullptr});
  CHECK((out == std::vector<double>{1, 0, 0, 2, untouched, 0, 0, 0, 0, untouched, 0, 4, 3, 0, untouched}));
  const std::array<std::uint64_t, 2> order{2, 0};
  gather(out.data(), 4, source, {0, 2, order.data()});
  CHECK((std::vector<double>(out.begin(), out.begin() + 8) == std::vector<double>{0, 4, 3, 0, 1, 0, 0, 2}));

  std::ptrdiff_t stride = 0;
  CHECK(in_place<float>(source, {0, 1, nullptr}, stride) == nullptr);
  CHECK(!first_outside(source, 1, 4));
  CHECK(first_outside(source, 2, 4) == std::pair(std::size_t{0}, std::size_t{0}));
  CHECK(first_outside(source, 0, 3) == std::pair(std::size_t{2}, std::size_t{1}));
  CHECK(first_outside(source, 0, 2) == std::pair(std::size_t{2}, std::size_t{2}));
}

void test_compressed() {
  const std::vector<float> stored{1, 2, 3, 4};
  const std::vector<std::uint64_t> starts{0, 2, 2, 4};
  const std::vector<std::int32_t> columns{0, 3, 2, 3};
  const Sparsity sparsity{starts.data(), columns.data()};
  Rows source = rows_of(stored, 1, ScalarType::float32);
  source.rows = 3, source.columns = 4, source.sparsity = &sparsity;
  CHECK(!is_mostly_zero(source));
  source.columns = 400;
  CHECK(is_mostly_zero(source));

  const std::array<std::uint64_t, 3> order{2, 1, 0};
  Compressed<double> rows, by_column;
  rows.read(source, {0, 3, order.data()});
  std::vector<double> out(3 * 4, -7);
  scatter(out.data(), rows.rows(), 3, 4);
  CHECK((out == std::vector<double>{0, 0, 3, 4, 0, 0, 0, 0, 1, 0, 0, 2}));
  by_column.transpose(rows.rows(), 3, 4);
  scatter(out.data(), by_column.rows(), 4, 3);
  CHECK((out == std::vector<double>{0, 0, 1, 0, 0, 0, 3, 0, 0, 4, 0, 2}));
  by_column.transpose(rows.rows().from_row(2), 1, 4);
  scatter(out.data(), by_column.rows(), 4, 1);
  CHECK((std::vector<double>(out.begin(), out.begin() + 4) == std::vector<double>{1, 0, 0, 2}));
}

}  // namespace
}  // namespace chainrule

int main() {
  chainrule::test_casts();
  chainrule::test_every_half();
  chainrule::test_strides_and_indices();
  chainrule::test_misaligned();
  chainrule::test_in_place();
  chainrule::test_search();
  chainrule::test_sparse();
  chainrule::test_compressed();
  return chainrule::test::failures();
}
