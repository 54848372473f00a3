#include "chainrule/rows.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

namespace chainrule {
namespace {

// IEEE 754 binary16, which C++20 has no type for.
struct Half {
  std::uint16_t bits;

  operator float() const {
    const std::uint32_t sign = std::uint32_t{bits} >> 15 << 31;
    const std::uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    // Read as a float of the same bits, a half is 2^112 times too small; subnormals come out right too.
    const float value = std::bit_cast<float>(magnitude << 13) * std::bit_cast<float>(0x77800000u);
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
  }
};

// NumPy's bool, of which views of other types may have any bits.
struct Flag {
  std::uint8_t bits;

  operator float() const { return bits == 0 ? 0.0f : 1.0f; }
};

template <class In>
constexpr bool kIsNumber = std::is_arithmetic_v<In>;

// Calls work with a value of the C++ type that `type` names.
template <class Work>
auto with_type(ScalarType type, Work work) {
  switch (type) {
    case ScalarType::boolean:
      return work(Flag{});
    case ScalarType::uint8:
      return work(std::uint8_t{});
    case ScalarType::int8:
      return work(std::int8_t{});
    case ScalarType::int16:
      return work(std::int16_t{});
    case ScalarType::int32:
      return work(std::int32_t{});
    case ScalarType::int64:
      return work(std::int64_t{});
    case ScalarType::uint16:
      return work(std::uint16_t{});
    case ScalarType::uint32:
      return work(std::uint32_t{});
    case ScalarType::uint64:
      return work(std::uint64_t{});
    case ScalarType::float16:
      return work(Half{});
    case ScalarType::float32:
      return work(float{});
    case ScalarType::float64:
      break;
  }
  return work(double{});
}

// Elements may be misaligned, as in a memory map behind a header.
template <class In>
In load(const std::byte* from) {
  In value;
  std::memcpy(&value, from, sizeof(In));
  return value;
}

template <class Out, class In>
Out convert(In value) {
  if constexpr (kIsNumber<In>) {
    return static_cast<Out>(value);
  } else {
    return static_cast<Out>(static_cast<float>(value));
  }
}

using Position = std::pair<std::size_t, std::size_t>;

template <class In, class Out>
void scatter_row(Out* to, const Rows& source, std::size_t row) {
  std::fill(to, to + source.columns, Out{});
  const auto [starts, columns] = *source.sparsity;
  for (std::uint64_t k = starts[row]; k < starts[row + 1]; ++k) {
    const std::byte* from = source.data + static_cast<std::ptrdiff_t>(k) * source.column_stride;
    to[columns[k]] += convert<Out>(load<In>(from));  // what is stored twice adds up
  }
}

// Stored elements are looked through as one row; then the row of the k-th is found.
std::optional<Position> first_stored_outside(const Rows& source, double low, double high) {
  const auto [starts, columns] = *source.sparsity;
  Rows stored = source;
  stored.sparsity = nullptr;
  stored.rows = 1, stored.columns = starts[source.rows];
  const auto bad = first_outside(stored, low, high);
  if (!bad) return std::nullopt;
  const std::size_t k = bad->second;
  const std::uint64_t* next = std::upper_bound(starts, starts + source.rows + 1, k);
  return Position{static_cast<std::size_t>(next - starts) - 1, static_cast<std::size_t>(columns[k])};
}

}  // namespace

template <class Out>
void gather(Out* out, std::size_t stride, const Rows& source, const RowRange& range) {
  with_type(source.type, [&]<class In>(In) {
    // A row of one number is not worth a call.
    const bool packed = source.columns > 1 && source.column_stride == static_cast<std::ptrdiff_t>(sizeof(In));
    for (std::size_t i = 0; i < range.count; ++i) {
      const std::size_t row = range.indices == nullptr ? range.first + i : range.indices[i];
      const std::byte* from = source.data + static_cast<std::ptrdiff_t>(row) * source.row_stride;
      Out* to = out + i * stride;
      if (source.sparsity != nullptr) {
        scatter_row<In>(to, source, row);
      } else if (packed && std::is_same_v<In, Out>) {
        std::memcpy(to, from, source.columns * sizeof(Out));
      } else if (packed) {  // a constant step, so that the cast is vectorised
        for (std::size_t j = 0; j < source.columns; ++j)
          to[j] = convert<Out>(load<In>(from + j * sizeof(In)));
      } else {
        for (std::size_t j = 0; j < source.columns; ++j, from += source.column_stride) {
          to[j] = convert<Out>(load<In>(from));
        }
      }
    }
  });
}

template <class T>
const T* in_place(const Rows& source, const RowRange& range, std::ptrdiff_t& stride) {
  constexpr auto type = std::is_same_v<T, float> ? ScalarType::float32 : ScalarType::float64;
  constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(T));
  const bool unit = source.columns == 1 || source.column_stride == size;
  const std::byte* first = source.data + static_cast<std::ptrdiff_t>(range.first) * source.row_stride;
  const bool aligned = reinterpret_cast<std::uintptr_t>(first) % sizeof(T) == 0 &&
                       (range.count <= 1 || source.row_stride % size == 0);
  if (source.sparsity != nullptr || range.indices != nullptr || source.type != type || !unit || !aligned)
    return nullptr;
  stride = source.row_stride / size;
  return reinterpret_cast<const T*>(first);
}

std::optional<Position> first_outside(const Rows& source, double low, double high) {
  if (source.sparsity != nullptr) return first_stored_outside(source, low, high);
  return with_type(source.type, [&]<class In>(In) -> std::optional<Position> {
    const auto outside = [&](const std::byte* from) {
      const double value = convert<double>(load<In>(from));
      return !(value >= low && value <= high);  // true of NaN
    };
    constexpr std::size_t segment = 1024;  // checked without a branch, so that the loop is vectorised
    for (std::size_t i = 0; i < source.rows; ++i) {
      const std::byte* row = source.data + static_cast<std::ptrdiff_t>(i) * source.row_stride;
      for (std::size_t start = 0; start < source.columns; start += segment) {
        const std::size_t stop = std::min(source.columns, start + segment);
        int bad = 0;
        if (source.column_stride == static_cast<std::ptrdiff_t>(sizeof(In))) {
          for (std::size_t j = start; j < stop; ++j) bad |= outside(row + j * sizeof(In));
        } else {
          for (std::size_t j = start; j < stop; ++j) {
            bad |= outside(row + static_cast<std::ptrdiff_t>(j) * source.column_stride);
          }
        }
        if (bad == 0) continue;
        for (std::size_t j = start; j < stop; ++j) {
          if (outside(row + static_cast<std::ptrdiff_t>(j) * source.column_stride)) return Position{i, j};
        }
      }
    }
    return std::nullopt;
  });
}

template void gather(float*, std::size_t, const Rows&, const RowRange&);
template void gather(double*, std::size_t, const Rows&, const RowRange&);
template void gather(std::int32_t*, std::size_t, const Rows&, const RowRange&);
template const float* in_place(const Rows&, const RowRange&, std::ptrdiff_t&);
template const double* in_place(const Rows&, const RowRange&, std::ptrdiff_t&);

}  // namespace chainrule
