// The three matrix products of a dense layer, as one loop over register tiles.
// A tile is kTileRows rows by kTileVectors vectors of the product, held in registers along the whole sum:
// each element is one ordered chain of multiply-adds, whatever tile it falls into.

namespace chainrule {
namespace {

inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = CHAINRULE_REGISTERS == 32 ? 4 : 2;

// c[i][j] (+)= start[j] + sum_p a[i * a_row + p * a_step] b[p * b_stride + j], for i < Rows and j < columns.
// b is read in whole vectors, up to a vector less one element beyond its last column.
template <class T, int Rows, int Vectors>
void tile(T* c, std::ptrdiff_t c_stride, const T* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step, const T* b,
          std::ptrdiff_t b_stride, const T* start, bool accumulate, std::size_t depth, std::size_t columns) {
  Vec<T> sum[Rows][Vectors];
  for (int v = 0; v < Vectors; ++v) {
    const Vec<T> first = start == nullptr ? Vec<T>{} : load(start + v * kLanes<T>);
    for (int r = 0; r < Rows; ++r) sum[r][v] = first;
  }
  for (std::size_t p = 0; p < depth; ++p, a += a_step, b += b_stride) {
    Vec<T> row[Vectors];
    for (int v = 0; v < Vectors; ++v) row[v] = load(b + v * kLanes<T>);
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> factor = broadcast(a[r * a_row]);
      for (int v = 0; v < Vectors; ++v) sum[r][v] = multiply_add(factor, row[v], sum[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      T* to = c + r * c_stride + v * kLanes<T>;
      const std::size_t left = columns - v * kLanes<T>;
      const Vec<T> value = accumulate ? load(to) + sum[r][v] : sum[r][v];
      if (left >= kLanes<T>) {
        store(to, value);
      } else {
        store_first(to, value, left);
      }
    }
  }
}

template <class T>
using Tile = void (*)(T*, std::ptrdiff_t, const T*, std::ptrdiff_t, std::ptrdiff_t, const T*, std::ptrdiff_t,
                      const T*, bool, std::size_t, std::size_t);

template <class T, int Rows>
Tile<T> tile_of(std::size_t vectors) {
  if constexpr (kTileVectors == 4) {
    if (vectors == 3) return tile<T, Rows, 3>;
    if (vectors == 4) return tile<T, Rows, 4>;
  }
  return vectors == 1 ? tile<T, Rows, 1> : tile<T, Rows, 2>;
}

template <class T>
Tile<T> tile_of(std::size_t rows, std::size_t vectors) {
  switch (rows) {
    case 1:
      return tile_of<T, 1>(vectors);
    case 2:
      return tile_of<T, 2>(vectors);
    case 3:
      return tile_of<T, 3>(vectors);
    case 4:
      return tile_of<T, 4>(vectors);
    case 5:
      return tile_of<T, 5>(vectors);
    default:
      return tile_of<T, kTileRows>(vectors);
  }
}

// c (rows, columns) (+)= start + a b, a and its strides as in tile().
template <class T>
void multiply(T* c, std::ptrdiff_t c_stride, const T* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step,
              const T* b, std::ptrdiff_t b_stride, const T* start, bool accumulate, std::size_t rows,
              std::size_t depth, std::size_t columns) {
  constexpr std::size_t width = kTileVectors * kLanes<T>;
  for (std::size_t j = 0; j < columns; j += width) {
    const std::size_t wide = columns - j < width ? columns - j : width;
    const std::size_t vectors = (wide + kLanes<T> - 1) / kLanes<T>;
    for (std::size_t i = 0; i < rows; i += kTileRows) {
      const std::size_t tall = rows - i < kTileRows ? rows - i : kTileRows;
      tile_of<T>(tall, vectors)(c + i * c_stride + j, c_stride, a + static_cast<std::ptrdiff_t>(i) * a_row,
                                a_row, a_step, b + j, b_stride, start == nullptr ? nullptr : start + j,
                                accumulate, depth, wide);
    }
  }
}

template <class T>
void affine(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w, const T* bias,
            std::size_t rows, std::size_t fan_in, std::size_t fan_out) {
  multiply(y, y_stride, x, x_stride, 1, w, static_cast<std::ptrdiff_t>(fan_out), bias, false, rows, fan_in,
           fan_out);
}

template <class T>
void backward_input(T* dx, std::ptrdiff_t dx_stride, const T* delta, std::ptrdiff_t delta_stride,
                    const T* w_transposed, std::size_t rows, std::size_t fan_in, std::size_t fan_out) {
  multiply<T>(dx, dx_stride, delta, delta_stride, 1, w_transposed,
              static_cast<std::ptrdiff_t>(padded<T>(fan_in)), nullptr, false, rows, fan_out, fan_in);
}

template <class T>
void backward_weights(T* dw, T* dbias, const T* x, std::ptrdiff_t x_stride, const T* delta,
                      std::ptrdiff_t delta_stride, std::size_t rows, std::size_t fan_in,
                      std::size_t fan_out) {
  multiply<T>(dw, static_cast<std::ptrdiff_t>(fan_out), x, 1, x_stride, delta, delta_stride, nullptr, true,
              fan_in, rows, fan_out);
  if (dbias == nullptr) return;
  // The bias is the weight of an input that is always one: a row of ones, read again at each step.
  const T one = 1;
  multiply<T>(dbias, 0, &one, 0, 0, delta, delta_stride, nullptr, true, 1, rows, fan_out);
}

template <class T>
void transpose(T* wt, const T* w, std::size_t rows, std::size_t columns) {
  constexpr std::size_t block = 16;  // a block of both matrices stays in L1
  const std::size_t wt_stride = padded<T>(rows);
  for (std::size_t i0 = 0; i0 < rows; i0 += block) {
    for (std::size_t j0 = 0; j0 < columns; j0 += block) {
      const std::size_t i1 = i0 + block < rows ? i0 + block : rows;
      const std::size_t j1 = j0 + block < columns ? j0 + block : columns;
      for (std::size_t j = j0; j < j1; ++j) {
        for (std::size_t i = i0; i < i1; ++i) wt[j * wt_stride + i] = w[i * columns + j];
      }
    }
  }
}

}  // namespace
}  // namespace chainrule
