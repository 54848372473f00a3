// The three products of a dense layer and their ends: bias and activation on the way forward, the
// activation's derivative on the way back, the gradient of the biases. An end that is not the tile's own
// follows each tile, whose numbers are still in the first-level cache.

namespace chainrule {
namespace {

// Calls finish(i, j, rows, columns) for the parts of the product in which its end is still to be done. Narrow
// products are finished in one go, for six short rows fill few vectors, and so are those that stay in the
// first-level cache anyway.
template <class T, class Finish>
void multiply_and_finish(const Product<T>& product, bool apart, Finish finish) {
  if (!apart) {
    multiply(product);
  } else if (product.columns < kLanes<T> || product.rows * product.columns * sizeof(T) <= 16384) {
    multiply(product);
    finish(0, 0, product.rows, product.columns);
  } else {
    multiply(product, finish);
  }
}

// Products of a row of x and the weights, summed but for the lanes.
template <class T>
inline Vec<T> row_products(const T* x, const T* w, std::size_t fan_in) {
  Vec<T> parts[kParts] = {};
  std::size_t i = 0;
  for (; i + kParts * kLanes<T> <= fan_in; i += kParts * kLanes<T>)
    for (std::size_t k = 0; k < kParts; ++k)
      parts[k] = multiply_add(load(x + i + k * kLanes<T>), load(w + i + k * kLanes<T>), parts[k]);
  for (std::size_t k = 0; i < fan_in; ++k, i += kLanes<T>)
    parts[k] = multiply_add(load_most(x + i, fan_in - i), load_most(w + i, fan_in - i), parts[k]);
  return sum_of_parts<T>(parts);
}

// One output fills one lane of a vector. The inputs fill them all, in 64 bytes of lanes, and the sums over
// lanes of as many rows are taken together. Measured: half the time of y^T = w^T x^T, which transposes x.
template <class T>
void affine_one_output(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w,
                       const T* bias, std::size_t rows, std::size_t fan_in) {
  constexpr std::size_t lanes = kLanes<T>;
  for (std::size_t first = 0; first < rows; first += lanes) {
    const std::size_t count = rows - first < lanes ? rows - first : lanes;
    if (count == 1) {  // alone, it need not wait for fifteen more
      Vec<T> sums[lanes] = {row_products(x + static_cast<std::ptrdiff_t>(first) * x_stride, w, fan_in)};
      *y = sums_of_lanes<T>(sums)[0] + (bias == nullptr ? T(0) : *bias);
      return;
    }
    // Rows beyond the last are the last again.
    const T* row[lanes];
    for (std::size_t r = 0; r < lanes; ++r)
      row[r] = x + static_cast<std::ptrdiff_t>(first + (r < count ? r : count - 1)) * x_stride;
    Vec<T> parts[lanes][kParts] = {};
    for (std::size_t i = 0; i < fan_in; i += kParts * lanes) {
      for (std::size_t k = 0; k < kParts && i + k * lanes < fan_in; ++k) {
        const std::size_t from = i + k * lanes, left = fan_in - from;
        const Vec<T> weights = load_most(w + from, left);
        if (left >= lanes) {
#pragma GCC unroll 16
          for (std::size_t r = 0; r < lanes; ++r)
            parts[r][k] = multiply_add(load(row[r] + from), weights, parts[r][k]);
        } else {
          for (std::size_t r = 0; r < lanes; ++r)
            parts[r][k] = multiply_add(load_first(row[r] + from, left), weights, parts[r][k]);
        }
      }
    }
    Vec<T> sums[lanes];
    for (std::size_t r = 0; r < lanes; ++r) sums[r] = sum_of_parts<T>(parts[r]);
    const Vec<T> total = sums_of_lanes<T>(sums) + (bias == nullptr ? T(0) : *bias);
    if (y_stride == 1) {
      store_most(y, total, count);
      y += count;
    } else {
      for (std::size_t r = 0; r < count; ++r, y += y_stride) *y = total[r];
    }
  }
}

// The sums of a part of y, from row i and column j on, become what the layer's end makes of them.
template <class T>
void finish_forward(const ForwardEnd<T>& end, T* y, std::ptrdiff_t y_stride, std::size_t i, std::size_t j,
                    std::size_t tall, std::size_t wide) {
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * y_stride + static_cast<std::ptrdiff_t>(j);
  if (end.slopes == nullptr) {
    activate(end.activation, y + at, y_stride, y + at, y_stride, tall, wide);
    return;
  }
  Dropout dropout = end.dropout;
  dropout.first_row += i;
  dropout.first_column += j;
  activate_keeping_slopes(end.activation, y + at, end.slopes + at, y_stride, tall, wide, dropout);
}

template <class T>
void affine(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, const T* w,
            std::size_t w_stride, const T* bias, std::size_t rows, std::size_t fan_in, std::size_t fan_out,
            const ForwardEnd<T>& end) {
  const auto finish = [&](std::size_t i, std::size_t j, std::size_t tall, std::size_t wide) {
    finish_forward(end, y, y_stride, i, j, tall, wide);
  };
  const bool relu = end.activation == Activation::relu && end.slopes == nullptr;
  const bool none = end.activation == Activation::identity && end.slopes == nullptr;
  if (w_stride == 1) {
    affine_one_output(y, y_stride, x, x_stride, w, bias, rows, fan_in);
    if (!none) finish(0, 0, rows, 1);
    return;
  }
  Product<T> product{y,        y_stride, x,
                     x_stride, 1,        {w, static_cast<std::ptrdiff_t>(w_stride), Layout::rows},
                     rows,     fan_in,   fan_out};
  product.start = bias;
  product.end = relu ? TileEnd::relu : TileEnd::store;
  multiply_and_finish(product, !relu && !none, finish);
}

template <class T>
void backward_input(T* dx, std::ptrdiff_t dx_stride, const T* delta, std::ptrdiff_t delta_stride, const T* w,
                    std::size_t rows, std::size_t fan_in, std::size_t fan_out, const BackwardEnd<T>& end) {
  // One output's weights are a row already.
  Product<T> product{
      dx,    dx_stride,
      delta, delta_stride,
      1,     {w, static_cast<std::ptrdiff_t>(fan_out), fan_out > 1 ? Layout::transposed : Layout::rows},
      rows,  fan_out,
      fan_in};
  const bool relu = end.activation == Activation::relu;
  product.end = end.are_slopes ? TileEnd::times_kept : relu ? TileEnd::relu_backward : TileEnd::store;
  product.kept = end.kept;
  product.kept_stride = end.kept_stride;
  const bool apart = !end.are_slopes && !relu && end.activation != Activation::identity;
  multiply_and_finish(product, apart, [&](std::size_t i, std::size_t j, std::size_t tall, std::size_t wide) {
    const auto row = static_cast<std::ptrdiff_t>(i);
    activation_backward(end.activation, dx + row * dx_stride + j, dx_stride,
                        end.kept + row * end.kept_stride + j, end.kept_stride, tall, wide, false);
  });
}

// The sum of neighbours, in lanes of 64 bytes.
template <class T>
inline T sum(const T* x, std::size_t size) {
  Vec<T> parts[kParts] = {}, sums[kLanes<T>] = {};
  for (std::size_t i = 0, k = 0; i < size; i += kLanes<T>, k = (k + 1) % kParts)
    parts[k] += load_most(x + i, size - i);
  sums[0] = sum_of_parts<T>(parts);
  return sums_of_lanes<T>(sums)[0];
}

template <class T>
void backward_weights(T* dw, T* dbias, const T* x, std::ptrdiff_t x_stride, const T* delta,
                      std::ptrdiff_t delta_stride, std::size_t rows, std::size_t fan_in, std::size_t fan_out,
                      bool accumulate) {
  const TileEnd end = accumulate ? TileEnd::add : TileEnd::store;
  std::size_t done = 0;
  if (fan_out == 1) {
    // One output fills one lane; dw^T = delta^T x fills them all, as far as x can be read in whole vectors.
    done = fan_in / kLanes<T> * kLanes<T>;
    Product<T> transposed{dw, 0, delta, 0, delta_stride, {x, x_stride, Layout::rows}, 1, rows, done};
    transposed.end = end;
    multiply(transposed);
    if (dbias != nullptr) *dbias = sum(delta, rows) + (accumulate ? *dbias : T(0));
    dbias = nullptr;
    if (done == fan_in) return;
  }
  Product<T> product{dw + done * fan_out,
                     static_cast<std::ptrdiff_t>(fan_out),
                     x + done,
                     1,
                     x_stride,
                     {delta, delta_stride, Layout::rows},
                     fan_in - done,
                     rows,
                     fan_out};
  product.column_sums = dbias;
  product.end = end;
  multiply(product);
}

// Rows of tiles outermost: the parameters that a row of them moves are neighbours, and the few columns of x
// that it reads stay in the first-level cache. Measured: panels outermost take longer than gradients that go
// through memory.
template <class T>
bool descend(const LayerUpdate<T>& update, const T* x, std::ptrdiff_t x_stride, const T* panels,
             std::size_t rows, std::size_t fan_in, std::size_t fan_out) {
  return with_mover<T>(update.of_weights.optimizer, [&]<class M>(M*) {
    M weights(update.weights, update.of_weights), biases(update.biases, update.of_biases);
    alignas(64) T gradients[(kTileRows + 1) * kPanelColumns<T>];
    Product<T> product{gradients, kPanelColumns<T>, x, 1, x_stride, {panels, 0, Layout::panels}, 0,
                       rows,      fan_out};
    product.in_passing = true;
    for (std::size_t first = 0; first < fan_in; first += kTileRows, product.a += kTileRows) {
      const std::size_t count = fan_in - first < kTileRows ? fan_in - first : kTileRows;
      const bool last = first + count == fan_in;
      product.rows = count;
      product.column_sums = last ? update.biases : nullptr;
      multiply(product, [&](std::size_t i, std::size_t j, std::size_t tall, std::size_t wide) {
        const std::size_t of_weights = i + tall > count ? count - i : tall;
        weights.move((first + i) * fan_out + j, fan_out, gradients, kPanelColumns<T>, of_weights, wide);
        if (of_weights < tall) biases.move(j, gradients + of_weights * kPanelColumns<T>, wide);
      });
    }
    return weights.moved_all() && biases.moved_all();
  });
}

template <class T>
T magnitude(const T* x, std::ptrdiff_t x_stride, std::size_t rows, std::size_t columns) {
  constexpr std::size_t chains = kLanes<T> < 4 ? kLanes<T> : 4;  // one would wait for itself
  Vec<T> sums[kLanes<T>] = {};
  for (std::size_t i = 0; i < rows; ++i, x += x_stride) {
    for (std::size_t j = 0, k = 0; j < columns; j += kLanes<T>, k = (k + 1) % chains)
      sums[k] += chainrule::magnitude<T>(load_most(x + j, columns - j));
  }
  const Vec<T> total = sums_of_lanes<T>(sums);
  T sum = 0;
  for (std::size_t k = 0; k < chains; ++k) sum += total[k];
  return sum;
}

}  // namespace
}  // namespace chainrule
