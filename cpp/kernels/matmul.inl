// The three matrix products of a dense layer, as one loop over register tiles.
// A tile is kTileRows rows by kTileVectors vectors of the product, held in registers along the whole sum:
// each element is one ordered chain of multiply-adds, whatever tile it falls into.

namespace chainrule {
namespace {

inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = CHAINRULE_REGISTERS == 32 ? 4 : 2;

// Calls work(r, v) for every vector of a tile, without a loop: a loop would take the registers through
// memory.
template <int Rows, int Vectors, class Work>
CHAINRULE_INLINE void for_tile(Work work) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) work(r, v);
  }
}

// c[i][j] = start[i * start_row + j] + sum_p a[i * a_row + p * a_step] b[p * b_stride + j], for i < Rows and
// j < columns; nothing where start is null; and added to c where `accumulate`. b is read in whole vectors, up
// to a vector less one element beyond its last column.
template <class T, int Rows, int Vectors>
void tile(T* c, std::ptrdiff_t c_stride, const T* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step, const T* b,
          std::ptrdiff_t b_stride, const T* start, std::ptrdiff_t start_row, bool accumulate,
          std::size_t depth, std::size_t columns) {
  constexpr std::size_t lanes = kLanes<T>;
  const bool whole = columns == Vectors * lanes;
  Vec<T> sum[Rows][Vectors];
  if (start == nullptr) {
    for_tile<Rows, Vectors>([&](int r, int v) { sum[r][v] = Vec<T>{}; });
  } else if (whole) {
    for_tile<Rows, Vectors>([&](int r, int v) { sum[r][v] = load(start + r * start_row + v * lanes); });
  } else {
    for_tile<Rows, Vectors>(
        [&](int r, int v) { sum[r][v] = load_most(start + r * start_row + v * lanes, columns - v * lanes); });
  }
  for (std::size_t p = 0; p < depth; ++p, a += a_step, b += b_stride) {
    Vec<T> row[Vectors];
    for (int v = 0; v < Vectors; ++v) row[v] = load(b + v * lanes);
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> factor = broadcast(a[r * a_row]);
      for (int v = 0; v < Vectors; ++v) sum[r][v] = multiply_add(factor, row[v], sum[r][v]);
    }
  }
  if (accumulate) {
    for_tile<Rows, Vectors>([&](int r, int v) {
      sum[r][v] = load_most(c + r * c_stride + v * lanes, columns - v * lanes) + sum[r][v];
    });
  }
  if (whole) {
    for_tile<Rows, Vectors>([&](int r, int v) { store(c + r * c_stride + v * lanes, sum[r][v]); });
  } else {
    for_tile<Rows, Vectors>(
        [&](int r, int v) { store_most(c + r * c_stride + v * lanes, sum[r][v], columns - v * lanes); });
  }
}

template <class T>
using Tile = void (*)(T*, std::ptrdiff_t, const T*, std::ptrdiff_t, std::ptrdiff_t, const T*, std::ptrdiff_t,
                      const T*, std::ptrdiff_t, bool, std::size_t, std::size_t);

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

// The right factor of a product: a matrix as it stands, or the transpose of one.
template <class T>
struct Factor {
  const T* data;
  std::ptrdiff_t stride;
  bool transposed;
};

// A panel of it: as many columns as a tile is wide, and as many rows as fit the first-level cache with it.
template <class T>
inline constexpr std::size_t kPanelColumns = kTileVectors * kLanes<T>;
template <class T>
inline constexpr std::size_t kPanelRows = 32768 / (kPanelColumns<T> * sizeof(T));
inline constexpr std::size_t kPackedBytes = 65536;

template <class T>
void pack(T* panel, const T* b, std::ptrdiff_t b_stride, std::size_t rows) {
  for (std::size_t p = 0; p < rows; ++p, b += b_stride, panel += kPanelColumns<T>) {
    for (int v = 0; v < kTileVectors; ++v) store(panel + v * kLanes<T>, load(b + v * kLanes<T>));
  }
}

// c (rows, columns) = start (columns) + a (rows, depth) b (depth, columns), or added to c; the strides of a
// are those of tile().
template <class T>
void multiply(T* c, std::ptrdiff_t c_stride, const T* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step,
              Factor<T> b, const T* start, bool accumulate, std::size_t rows, std::size_t depth,
              std::size_t columns) {
  // The rows of a panel are far apart in a large matrix, on a page each: packed, they stay in cache.
  // Measured: it pays where b is far larger than the cache and read by many tiles. A sum over rows is taken
  // in one go if it can: blocks would write c, the gradient of a large matrix, again and again.
  alignas(64) T packed[kPackedBytes / sizeof(T)];
  constexpr std::size_t most = kPackedBytes / (kPanelColumns<T> * sizeof(T));
  const bool large = depth * columns * sizeof(T) > 4 * 32768 && rows >= 4 * kTileRows;
  const bool over_rows = a_row == 1;
  const std::size_t block = over_rows && large ? most : large || b.transposed ? kPanelRows<T> : depth;
  // Blocks of the sum outermost: their rows of b are neighbours in memory, and the block of a stays in cache.
  for (std::size_t p = 0; p < depth; p += block) {
    const std::size_t deep = depth - p < block ? depth - p : block;
    const bool resumes = p > 0 && !accumulate;
    for (std::size_t j = 0; j < columns; j += kPanelColumns<T>) {
      const std::size_t wide = columns - j < kPanelColumns<T> ? columns - j : kPanelColumns<T>;
      const std::size_t vectors = (wide + kLanes<T> - 1) / kLanes<T>;
      const T* panel = packed;
      std::ptrdiff_t panel_stride = kPanelColumns<T>;
      if (b.transposed) {
        transpose(packed, kPanelColumns<T>, vectors * kLanes<T>,
                  b.data + static_cast<std::ptrdiff_t>(j) * b.stride + p, b.stride, wide, deep);
      } else {
        const T* from = b.data + static_cast<std::ptrdiff_t>(p) * b.stride + j;
        if (large && wide == kPanelColumns<T>) {
          pack(packed, from, b.stride, deep);
        } else {
          panel = from;
          panel_stride = b.stride;
        }
      }
      for (std::size_t i = 0; i < rows; i += kTileRows) {
        const std::size_t tall = rows - i < kTileRows ? rows - i : kTileRows;
        T* to = c + static_cast<std::ptrdiff_t>(i) * c_stride + j;
        const T* from = a + static_cast<std::ptrdiff_t>(i) * a_row + static_cast<std::ptrdiff_t>(p) * a_step;
        const T* first = resumes ? to : start == nullptr ? nullptr : start + j;
        tile_of<T>(tall, vectors)(to, c_stride, from, a_row, a_step, panel, panel_stride, first,
                                  resumes ? c_stride : 0, accumulate, deep, wide);
      }
    }
  }
}

// Two vectors' products, in lanes of 64 bytes.
template <class T>
inline Vec<T> products(const T* x, const T* y, std::size_t size) {
  Vec<T> parts[kParts] = {};
  std::size_t i = 0;
  for (; i + kParts * kLanes<T> <= size; i += kParts * kLanes<T>) {
    for (std::size_t k = 0; k < kParts; ++k) {
      const std::size_t from = i + k * kLanes<T>;
      parts[k] = multiply_add(load(x + from), load(y + from), parts[k]);
    }
  }
  for (std::size_t k = 0; i < size; ++k, i += kLanes<T>) {
    parts[k] = multiply_add(load_most(x + i, size - i), load_most(y + i, size - i), parts[k]);
  }
  return sum_of_parts<T>(parts);
}

// One output fills one lane of a vector. The inputs fill them all, and the sums over lanes of as many rows
// are taken together. Measured: half the time of y^T = w^T x^T, which transposes x.
template <class T>
void affine_one_output(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w,
                       const T* bias, std::size_t rows, std::size_t fan_in) {
  for (std::size_t first = 0; first < rows; first += kLanes<T>) {
    const std::size_t count = rows - first < kLanes<T> ? rows - first : kLanes<T>;
    Vec<T> sums[kLanes<T>] = {};
    for (std::size_t r = 0; r < count; ++r, x += x_stride) sums[r] = products(x, w, fan_in);
    const Vec<T> total = sums_of_lanes<T>(sums) + (bias == nullptr ? T(0) : *bias);
    for (std::size_t r = 0; r < count; ++r, y += y_stride) *y = total[r];
  }
}

template <class T>
void affine(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w,
            std::size_t w_stride, const T* bias, std::size_t rows, std::size_t fan_in, std::size_t fan_out) {
  if (w_stride == 1) {
    affine_one_output(y, y_stride, x, x_stride, w, bias, rows, fan_in);
    return;
  }
  const Factor<T> factor{w, static_cast<std::ptrdiff_t>(w_stride), false};
  multiply(y, y_stride, x, x_stride, 1, factor, bias, false, rows, fan_in, fan_out);
}

template <class T>
void backward_input(T* dx, std::ptrdiff_t dx_stride, const T* delta, std::ptrdiff_t delta_stride, const T* w,
                    std::size_t rows, std::size_t fan_in, std::size_t fan_out) {
  // One output's weights are a row already.
  const Factor<T> factor{w, static_cast<std::ptrdiff_t>(fan_out), fan_out > 1};
  multiply<T>(dx, dx_stride, delta, delta_stride, 1, factor, nullptr, false, rows, fan_out, fan_in);
}

template <class T>
void backward_weights(T* dw, T* dbias, const T* x, std::ptrdiff_t x_stride, const T* delta,
                      std::ptrdiff_t delta_stride, std::size_t rows, std::size_t fan_in, std::size_t fan_out,
                      bool accumulate) {
  const Factor<T> factor{delta, delta_stride, false};
  std::size_t done = 0;
  if (fan_out == 1) {
    // One output fills one lane; dw^T = delta^T x fills them all, as far as x can be read in whole vectors.
    done = fan_in / kLanes<T> * kLanes<T>;
    const Factor<T> inputs{x, x_stride, false};
    multiply<T>(dw, 0, delta, 0, delta_stride, inputs, nullptr, accumulate, 1, rows, done);
  }
  multiply<T>(dw + done * fan_out, static_cast<std::ptrdiff_t>(fan_out), x + done, 1, x_stride, factor,
              nullptr, accumulate, fan_in - done, rows, fan_out);
  if (dbias == nullptr) return;
  // The bias is the weight of an input that is always one: a row of ones, read again at each step.
  const T one = 1;
  multiply<T>(dbias, 0, &one, 0, 0, factor, nullptr, accumulate, 1, rows, fan_out);
}

}  // namespace
}  // namespace chainrule
