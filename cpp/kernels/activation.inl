// Activations and their derivatives: one struct each. `value` is a = g(h); `slope` is dL/dh from dL/da and
// the activation's own output.

namespace chainrule {
namespace {

template <class T>
struct Identity {
  static Vec<T> value(Vec<T> h) { return h; }
  static Vec<T> slope(Vec<T> delta, Vec<T>) { return delta; }
};

template <class T>
struct Sigmoid {
  static Vec<T> value(Vec<T> h) { return sigmoid<T>(h); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return delta * (a * (T(1) - a)); }
};

template <class T>
struct Tanh {
  static Vec<T> value(Vec<T> h) { return tanh<T>(h); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return delta * (T(1) - a * a); }
};

template <class T>
struct Relu {
  static Vec<T> value(Vec<T> h) { return select<T>(h < 0, Vec<T>{}, h); }  // passes NaN on
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return select<T>(a > 0, delta, Vec<T>{}); }
};

// Calls work with the activation, so that loops are compiled for each. The softmax is none of them: its
// outputs depend on each other (see loss.inl).
template <class T, class Work>
CHAINRULE_INLINE void with_activation(Activation activation, Work work) {
  switch (activation) {
    case Activation::sigmoid:
      return work(Sigmoid<T>{});
    case Activation::tanh:
      return work(Tanh<T>{});
    case Activation::relu:
      return work(Relu<T>{});
    case Activation::identity:
    case Activation::softmax:
      return work(Identity<T>{});
  }
}

// y[i] = f(x[i]) for i < count, f of vectors; y may be x.
template <class T, class Function>
inline void map(T* y, const T* x, std::size_t count, Function f) {
  std::size_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) store(y + i, f(load(x + i)));
  if (i < count) store_first(y + i, f(load_first(x + i, count - i)), count - i);
}

// x[i] = f(x[i], y[i]) for i < count.
template <class T, class Function>
inline void combine(T* x, const T* y, std::size_t count, Function f) {
  std::size_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) store(x + i, f(load(x + i), load(y + i)));
  if (i == count) return;
  store_first(x + i, f(load_first(x + i, count - i), load_first(y + i, count - i)), count - i);
}

// map over rows. Narrow ones are first put side by side, for a vector of one number costs as much as a
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
  if (activation == Activation::softmax) {
    for (std::size_t i = 0; i < rows; ++i, a += a_stride, h += h_stride) softmax(a, h, columns);
  } else if (activation != Activation::identity || a != h) {
    with_activation<T>(activation, [&](auto function) {
      map_rows(a, a_stride, h, h_stride, rows, columns,
               [](Vec<T> x) { return decltype(function)::value(x); });
    });
  }
}

template <class T>
void activation_backward(Activation activation, T* delta, std::ptrdiff_t delta_stride, const T* a,
                         std::ptrdiff_t a_stride, std::size_t rows, std::size_t columns) {
  if (activation == Activation::identity) return;
  with_activation<T>(activation, [&](auto function) {
    for (std::size_t i = 0; i < rows; ++i, delta += delta_stride, a += a_stride) {
      combine(delta, a, columns, [](Vec<T> d, Vec<T> x) { return decltype(function)::slope(d, x); });
    }
  });
}

}  // namespace
}  // namespace chainrule
