// The matrix product, as one loop over register tiles.
// A tile is about kTileRows rows by kTileVectors vectors of the product, held in registers along the whole
// sum: each element is one ordered chain of multiply-adds, whatever tile it falls into.

namespace chainrule {
namespace {

inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = CHAINRULE_REGISTERS == 32 ? 4 : 2;

// Tiles of half as many vectors or less have twice as many rows: a sum waits for itself, and eight at least
// are needed to fill the time.
constexpr int most_rows(int vectors) { return 2 * vectors <= kTileVectors ? 2 * kTileRows : kTileRows; }

// Calls work(r, v) for every vector of a tile, without a loop: a loop would take the registers through
// memory.
template <int Rows, int Vectors, class Work>
CHAINRULE_INLINE void for_tile(Work work) {
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) work(r, v);
  }
}

// What a tile does with its sums, in registers: stores them, adds them to what was there, or takes a relu
// forward or backward, which is where `kept` is positive, or multiplies them by slopes that were kept. Other
// activations follow the tile, see dense.inl.
enum class TileEnd { store, add, relu, relu_backward, times_kept };

// c[i][j] = start[i * start_row + j] + sum_p a[i * a_row + p * a_step] b[p * b_stride + j], for as many rows
// as a tile has and j < columns; nothing where start is null. Of the last row, a, c and start stand at a
// place of their own. b and kept are read in whole vectors, up to a vector less one element beyond the last
// column.
template <class T>
struct TileProduct {
  T* c;
  std::ptrdiff_t c_stride;
  const T* a;
  std::ptrdiff_t a_row, a_step;
  const T* b;
  std::ptrdiff_t b_stride;
  const T* start;
  std::ptrdiff_t start_row;
  T* last_c;
  const T* last_a;
  std::ptrdiff_t last_step;
  const T* last_start;
  std::size_t depth, columns;
  TileEnd end;
  const T* kept;
  std::ptrdiff_t kept_stride;
};

template <class T, int Rows, int Vectors>
void tile(const TileProduct<T>& product) {
  constexpr std::size_t lanes = kLanes<T>;
  const std::size_t columns = product.columns;
  const bool whole = columns == Vectors * lanes;
  Vec<T> sum[Rows][Vectors];
  const auto start = [&](int r) {
    return r + 1 < Rows ? product.start + r * product.start_row : product.last_start;
  };
  if (product.start == nullptr) {
    for_tile<Rows, Vectors>([&](int r, int v) { sum[r][v] = Vec<T>{}; });
  } else if (whole) {
    for_tile<Rows, Vectors>([&](int r, int v) { sum[r][v] = load(start(r) + v * lanes); });
  } else {
    for_tile<Rows, Vectors>(
        [&](int r, int v) { sum[r][v] = load_most(start(r) + v * lanes, columns - v * lanes); });
  }
  const T *a = product.a, *b = product.b, *last = product.last_a;
  const std::ptrdiff_t a_row = product.a_row, a_step = product.a_step, b_stride = product.b_stride;
  const std::ptrdiff_t last_step = product.last_step;
  for (std::size_t p = product.depth; p > 0; --p, a += a_step, last += last_step, b += b_stride) {
    Vec<T> row[Vectors];
    for (int v = 0; v < Vectors; ++v) row[v] = load(b + v * lanes);
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> factor = broadcast(r + 1 < Rows ? a[r * a_row] : *last);
      for (int v = 0; v < Vectors; ++v) sum[r][v] = multiply_add(factor, row[v], sum[r][v]);
    }
  }
  const auto c = [&](int r) { return r + 1 < Rows ? product.c + r * product.c_stride : product.last_c; };
  const auto kept = [&](int r) { return product.kept + r * product.kept_stride; };
  switch (product.end) {
    case TileEnd::store:
      break;
    case TileEnd::add:
      for_tile<Rows, Vectors>(
          [&](int r, int v) { sum[r][v] = load_most(c(r) + v * lanes, columns - v * lanes) + sum[r][v]; });
      break;
    case TileEnd::relu:
      for_tile<Rows, Vectors>([&](int r, int v) { sum[r][v] = Relu<T>::value(sum[r][v]); });
      break;
    case TileEnd::relu_backward:
      for_tile<Rows, Vectors>(
          [&](int r, int v) { sum[r][v] = Relu<T>::slope(sum[r][v], load(kept(r) + v * lanes)); });
      break;
    case TileEnd::times_kept:
      for_tile<Rows, Vectors>([&](int r, int v) { sum[r][v] *= load(kept(r) + v * lanes); });
  }
  if (whole) {
    for_tile<Rows, Vectors>([&](int r, int v) { store(c(r) + v * lanes, sum[r][v]); });
  } else {
    for_tile<Rows, Vectors>(
        [&](int r, int v) { store_most(c(r) + v * lanes, sum[r][v], columns - v * lanes); });
  }
}

template <class T>
using Tile = void (*)(const TileProduct<T>&);

template <class T, int Rows>
Tile<T> tile_of(std::size_t vectors) {
  if constexpr (kTileVectors == 4 && Rows <= kTileRows) {
    if (vectors == 3) return tile<T, Rows, 3>;
    if (vectors == 4) return tile<T, Rows, 4>;
  }
  if constexpr (kTileVectors == 4 || Rows <= kTileRows) {
    if (vectors == 2) return tile<T, Rows, 2>;
  }
  return tile<T, Rows, 1>;
}

template <class T, int Rows = most_rows(1)>
Tile<T> tile_of(std::size_t rows, std::size_t vectors) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return tile_of<T, Rows - 1>(rows, vectors);
  }
  return tile_of<T, Rows>(vectors);
}

// The right factor of a product: a matrix as it stands, the transpose of one, or panels one after the other.
enum class Layout { rows, transposed, panels };
template <class T>
struct Factor {
  const T* data;
  std::ptrdiff_t stride;
  Layout layout;
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

// A matrix in panels of all its rows, in whole vectors.
template <class T>
void pack_panels(T* to, const T* b, std::ptrdiff_t b_stride, std::size_t rows, std::size_t columns) {
  for (std::size_t j = 0; j < columns; j += kPanelColumns<T>) {
    const T* from = b + j;
    for (std::size_t p = 0; p < rows; ++p, from += b_stride, to += kPanelColumns<T>) {
      for (std::size_t v = 0; v < kPanelColumns<T> && j + v < columns; v += kLanes<T>)
        store(to + v, load(from + v));
    }
  }
}

// c (rows, columns) = start (columns) + a (rows, depth) b (depth, columns), or added to c; the strides of a
// are those of a tile.
template <class T>
struct Product {
  T* c;
  std::ptrdiff_t c_stride;
  const T* a;
  std::ptrdiff_t a_row, a_step;
  Factor<T> b;
  std::size_t rows, depth, columns;
  const T* start = nullptr;
  T* column_sums = nullptr;  // of b: the product's last row, where one is wanted, its factor being all ones
  TileEnd end = TileEnd::store;
  const T* kept = nullptr;
  std::ptrdiff_t kept_stride = 0;
  bool in_passing = false;  // every part is put at c, for `after` to use; then b is in panels
};

// Calls after(i, j, rows, columns) for every part of the product once it is complete, still in the
// first-level cache.
template <class T, class After>
void multiply(const Product<T>& product, After after) {
  // The rows of a panel are far apart in a large matrix, on a page each: packed, they stay in cache.
  // Measured: it pays where b is far larger than the cache and read by many tiles. A sum over rows is taken
  // in one go if it can: blocks would write c, the gradient of a large matrix, again and again.
  alignas(64) T packed[kPackedBytes / sizeof(T)];
  constexpr std::size_t most = kPackedBytes / (kPanelColumns<T> * sizeof(T));
  const auto& [c, c_stride, a, a_row, a_step, b, rows, depth, columns, start, column_sums, end, kept,
               kept_stride, in_passing] = product;
  const bool large = depth * columns * sizeof(T) > 4 * 32768 && rows >= 4 * kTileRows;
  const bool over_rows = a_row == 1;
  const bool transposed = b.layout == Layout::transposed, packs = large && b.layout == Layout::rows;
  const std::size_t block = over_rows && packs ? most : packs || transposed ? kPanelRows<T> : depth;
  const T one = 1;
  const std::size_t all_rows = rows + (column_sums == nullptr ? 0 : 1);
  // Blocks of the sum outermost: their rows of b are neighbours in memory, and the block of a stays in cache.
  for (std::size_t p = 0; p < depth; p += block) {
    const std::size_t deep = depth - p < block ? depth - p : block;
    const bool resumes = p > 0 && end != TileEnd::add, complete = p + deep == depth;
    for (std::size_t j = 0; j < columns; j += kPanelColumns<T>) {
      const std::size_t wide = columns - j < kPanelColumns<T> ? columns - j : kPanelColumns<T>;
      const std::size_t vectors = (wide + kLanes<T> - 1) / kLanes<T>;
      const T* panel = packed;
      std::ptrdiff_t panel_stride = kPanelColumns<T>;
      if (b.layout == Layout::panels) {
        panel = b.data + j * depth;
      } else if (transposed) {
        transpose(packed, kPanelColumns<T>, vectors * kLanes<T>,
                  b.data + static_cast<std::ptrdiff_t>(j) * b.stride + p, b.stride, wide, deep);
      } else {
        const T* from = b.data + static_cast<std::ptrdiff_t>(p) * b.stride + j;
        if (packs && wide == kPanelColumns<T>) {
          pack(packed, from, b.stride, deep);
        } else {
          panel = from;
          panel_stride = b.stride;
        }
      }
      const auto most_tall = static_cast<std::size_t>(most_rows(static_cast<int>(vectors)));
      const std::size_t tiles = (all_rows + most_tall - 1) / most_tall;
      // almost equal heights: a tile of a row or two would wait for its few sums
      const std::size_t height = all_rows / tiles, higher = all_rows % tiles;
      const Tile<T> high = tile_of<T>(height + 1, vectors), low = tile_of<T>(height, vectors);
      for (std::size_t t = 0, i = 0; t < tiles; ++t) {
        const std::size_t tall = t < higher ? height + 1 : height;
        const auto last = static_cast<std::ptrdiff_t>(tall) - 1;
        TileProduct<T> part;
        part.c = in_passing ? c : c + static_cast<std::ptrdiff_t>(i) * c_stride + j;
        part.c_stride = c_stride;
        part.a = a + static_cast<std::ptrdiff_t>(i) * a_row + static_cast<std::ptrdiff_t>(p) * a_step;
        part.a_row = a_row, part.a_step = a_step;
        part.b = panel, part.b_stride = panel_stride;
        part.start = resumes ? part.c : start == nullptr ? nullptr : start + j;
        part.start_row = resumes ? c_stride : 0;
        const bool sums_columns = i + tall > rows;
        part.last_c = sums_columns && !in_passing ? column_sums + j : part.c + last * c_stride;
        part.last_a = sums_columns ? &one : part.a + last * a_row;
        part.last_step = sums_columns ? 0 : a_step;
        part.last_start = resumes ? part.last_c : part.start;
        part.depth = deep, part.columns = wide;
        part.end = complete || end == TileEnd::add ? end : TileEnd::store;
        part.kept = kept + static_cast<std::ptrdiff_t>(i) * kept_stride + j;
        part.kept_stride = kept_stride;
        (t < higher ? high : low)(part);
        if (complete) after(i, j, tall, wide);
        i += tall;
      }
    }
  }
}

template <class T>
void multiply(const Product<T>& product) {
  multiply(product, [](std::size_t, std::size_t, std::size_t, std::size_t) {});
}

}  // namespace
}  // namespace chainrule
