// Activations and their derivatives. The derivative is taken from the activation's own output.

namespace chainrule {
namespace {

// y[i] = f(x[i]) for i < count, f of vectors; y may be x.
template <class T, class Function>
inline void map(T* y, const T* x, std::size_t count, Function f) {
  std::size_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) store(y + i, f(load(x + i)));
  if (i < count) store_first(y + i, f(load_first(x + i, count - i)), count - i);
}

// The same over rows. Narrow ones are first put side by side, for a vector of one number costs as much as a
// full one.
template <class T, class Function>
void map_rows(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, std::size_t rows,
              std::size_t columns, Function f) {
  if (columns >= kLanes<T>) {
    for (std::size_t i = 0; i < rows; ++i, y += y_stride, x += x_stride) map(y, x, columns, f);
    return;
  }
  T packed[32 * kLanes<T>];
  const std::size_t rows_at_once = 32 * kLanes<T> / columns;
  for (std::size_t first = 0; first < rows; first += rows_at_once) {
    const std::size_t count = rows - first < rows_at_once ? rows - first : rows_at_once;
    T* next = packed;
    for (std::size_t i = 0; i < count; ++i, x += x_stride) {
      for (std::size_t j = 0; j < columns; ++j) *next++ = x[j];
    }
    map(packed, packed, count * columns, f);
    next = packed;
    for (std::size_t i = 0; i < count; ++i, y += y_stride) {
      for (std::size_t j = 0; j < columns; ++j) y[j] = *next++;
    }
  }
}

template <class T>
void softmax(T* a, const T* h, std::size_t columns) {
  T largest = h[0];
  for (std::size_t j = 1; j < columns; ++j) largest = h[j] > largest ? h[j] : largest;
  map(a, h, columns, [largest](Vec<T> x) { return exp<T>(x - largest); });
  T sum = 0;
  for (std::size_t j = 0; j < columns; ++j) sum += a[j];  // in order: the same bits for every width of vector
  map(a, a, columns, [sum](Vec<T> x) { return x / sum; });
}

template <class T>
void activate(Activation activation, T* a, std::ptrdiff_t a_stride, const T* h, std::ptrdiff_t h_stride,
              std::size_t rows, std::size_t columns) {
  const auto each = [&](auto function) { map_rows(a, a_stride, h, h_stride, rows, columns, function); };
  switch (activation) {
    case Activation::identity:
      if (a != h) each([](Vec<T> x) { return x; });
      break;
    case Activation::sigmoid:
      each([](Vec<T> x) { return sigmoid<T>(x); });
      break;
    case Activation::tanh:
      each([](Vec<T> x) { return tanh<T>(x); });
      break;
    case Activation::relu:
      each([](Vec<T> x) { return select<T>(x < 0, Vec<T>{}, x); });  // passes NaN on
      break;
    case Activation::softmax:
      for (std::size_t i = 0; i < rows; ++i, a += a_stride, h += h_stride) softmax(a, h, columns);
      break;
  }
}

// dL/dh_j = a_j (dL/da_j - sum_k a_k dL/da_k): the product with the softmax's Jacobian.
template <class T>
void softmax_backward(T* delta, const T* a, std::size_t columns) {
  T mean = 0;
  for (std::size_t j = 0; j < columns; ++j) mean = multiply_add(a[j], delta[j], mean);
  for (std::size_t j = 0; j < columns; ++j) delta[j] = a[j] * (delta[j] - mean);
}

template <class T>
void activation_backward_row(Activation activation, T* delta, const T* a, std::size_t columns) {
  switch (activation) {
    case Activation::identity:
      break;
    case Activation::sigmoid:
      for (std::size_t j = 0; j < columns; ++j) delta[j] *= a[j] * (1 - a[j]);
      break;
    case Activation::tanh:
      for (std::size_t j = 0; j < columns; ++j) delta[j] *= 1 - a[j] * a[j];
      break;
    case Activation::relu:
      for (std::size_t j = 0; j < columns; ++j) delta[j] = a[j] > 0 ? delta[j] : T(0);
      break;
    case Activation::softmax:
      softmax_backward(delta, a, columns);
      break;
  }
}

template <class T>
void activation_backward(Activation activation, T* delta, std::ptrdiff_t delta_stride, const T* a,
                         std::ptrdiff_t a_stride, std::size_t rows, std::size_t columns) {
  for (std::size_t i = 0; i < rows; ++i, delta += delta_stride, a += a_stride) {
    activation_backward_row(activation, delta, a, columns);
  }
}

}  // namespace
}  // namespace chainrule
