// Products of rows that are mostly zero. A row of the product stays in registers, some vectors of it at a
// time, while the rows of the other factor that its stored elements name are added up: each element is the
// ordered chain of multiply-adds that it is in a dense product, less those by zero.

namespace chainrule {
namespace {

inline constexpr int kSparseVectors = 8;  // that a row takes at once

// c (rows, columns <= Vectors) = start + a b, or added to c; start, a row, may be null.
template <class T, int Vectors>
void sparse_panel(T* c, std::ptrdiff_t c_stride, const CompressedRows<T>& a, const T* b,
                  std::ptrdiff_t b_stride, const T* start, std::size_t rows, std::size_t columns,
                  bool accumulate) {
  constexpr std::size_t lanes = kLanes<T>;
  for (std::size_t i = 0; i < rows; ++i, c += c_stride) {
    Vec<T> sum[Vectors] = {};
    if (start != nullptr) {
      for_tile<1, Vectors>([&](int, int v) { sum[v] = load_most(start + v * lanes, columns - v * lanes); });
    }
    for (std::uint64_t k = a.starts[i]; k < a.starts[i + 1]; ++k) {
      const Vec<T> factor = broadcast(a.values[k]);
      const T* row = b + a.columns[k] * b_stride;
      for_tile<1, Vectors>([&](int, int v) { sum[v] = multiply_add(factor, load(row + v * lanes), sum[v]); });
    }
    if (accumulate) {
      for_tile<1, Vectors>([&](int, int v) { sum[v] += load_most(c + v * lanes, columns - v * lanes); });
    }
    for_tile<1, Vectors>([&](int, int v) { store_most(c + v * lanes, sum[v], columns - v * lanes); });
  }
}

template <class T, int Vectors = kSparseVectors, class... Arguments>
void sparse_panel_of(std::size_t vectors, const Arguments&... arguments) {
  if constexpr (Vectors > 1) {
    if (vectors < Vectors) return sparse_panel_of<T, Vectors - 1>(vectors, arguments...);
  }
  sparse_panel<T, Vectors>(arguments...);
}

template <class T>
void sparse_product(T* c, std::ptrdiff_t c_stride, const CompressedRows<T>& a, const T* b,
                    std::ptrdiff_t b_stride, const T* start, std::size_t rows, std::size_t columns,
                    bool accumulate) {
  constexpr std::size_t most = kSparseVectors * kLanes<T>;
  for (std::size_t j = 0; j < columns; j += most) {
    const std::size_t wide = columns - j < most ? columns - j : most;
    const T* from = start == nullptr ? nullptr : start + j;
    sparse_panel_of<T>((wide + kLanes<T> - 1) / kLanes<T>, c + j, c_stride, a, b + j, b_stride, from, rows,
                       wide, accumulate);
  }
}

template <class T>
void sparse_affine(T* y, std::ptrdiff_t y_stride, const CompressedRows<T>& x, const T* w,
                   std::size_t w_stride, const T* bias, std::size_t rows, std::size_t fan_out,
                   const ForwardEnd<T>& end) {
  sparse_product(y, y_stride, x, w, static_cast<std::ptrdiff_t>(w_stride), bias, rows, fan_out, false);
  finish_forward(end, y, y_stride, 0, 0, rows, fan_out);
}

template <class T>
void sparse_backward_weights(T* dw, const CompressedRows<T>& x_by_column, const T* delta,
                             std::ptrdiff_t delta_stride, std::size_t fan_in, std::size_t fan_out,
                             bool accumulate) {
  const T* none = nullptr;
  sparse_product(dw, static_cast<std::ptrdiff_t>(fan_out), x_by_column, delta, delta_stride, none, fan_in,
                 fan_out, accumulate);
}

}  // namespace
}  // namespace chainrule
