// Activations and their derivatives: one struct each, listed in chainrule/config.hpp. `value` is a = g(h);
// `slope` is dL/dh from dL/da, either from the output a, or kept by `value` from h where the output does not
// tell.

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

// The line through 1/2 with the slope 1/6, cut at 0 and 1.
template <class T>
struct HardSigmoid {
  static Vec<T> value(Vec<T> h) {
    const Vec<T> line = (h + T(3)) / T(6);  // in these orders NaN passes
    return smaller(broadcast(T(1)), larger(Vec<T>{}, line));
  }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return select<T>((a > 0) & (a < 1), delta / T(6), Vec<T>{}); }
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

// Maas, Hannun and Ng, 2013.
template <class T>
struct LeakyRelu {
  static Vec<T> value(Vec<T> h) { return select<T>(h < 0, T(0.01) * h, h); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return select<T>(a > 0, delta, T(0.01) * delta); }
};

// Clevert, Unterthiner and Hochreiter, 2016, with alpha 1.
template <class T>
struct Elu {
  static Vec<T> value(Vec<T> h) { return select<T>(h < 0, expm1_of_negative<T>(smaller(Vec<T>{}, h)), h); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return select<T>(a > 0, delta, delta * (a + T(1))); }
};

// Klambauer, Unterthiner, Mayr and Hochreiter, 2017.
template <class T>
struct Selu {
  static constexpr T scale = T(1.0507009873554804934), alpha = T(1.6732632423543772848);
  static Vec<T> value(Vec<T> h) {
    return scale * select<T>(h < 0, alpha * expm1_of_negative<T>(smaller(Vec<T>{}, h)), h);
  }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) {
    return delta * select<T>(a > 0, broadcast(scale), a + scale * alpha);
  }
};

// h Phi(h): Hendrycks and Gimpel, 2016.
template <class T>
struct Gelu {
  static Vec<T> value(Vec<T> h, Vec<T>& slope) {
    Vec<T> density;
    const Vec<T> below = normal_distribution<T>(h, density);
    slope = multiply_add(h, density, below);
    return h * below;
  }
};

// Their approximation of it: h (1 + tanh(sqrt(2 / pi) (h + 0.044715 h^3))) / 2.
template <class T>
struct GeluTanh {
  static Vec<T> value(Vec<T> h, Vec<T>& slope) {
    constexpr T root = T(0.797884560802865355880), cubic = T(0.044715);
    const Vec<T> square = h * h;
    const Vec<T> bent = tanh<T>(root * h * multiply_add(broadcast(cubic), square, broadcast(T(1))));
    const Vec<T> inner = root * multiply_add(broadcast(3 * cubic), square, broadcast(T(1)));
    // beyond 20 the slope of tanh is 0, however steep what is inside
    const Vec<T> bend = select<T>(square > T(400), Vec<T>{}, (T(1) - bent * bent) * inner * h);
    const Vec<T> below = T(0.5) + T(0.5) * bent;
    slope = multiply_add(broadcast(T(0.5)), bend, below);
    return h * below;
  }
};

// h sigmoid(h): Elfwing, Uchibe and Doya, 2018.
template <class T>
struct Silu {
  static Vec<T> value(Vec<T> h, Vec<T>& slope) {
    const Vec<T> s = sigmoid<T>(h), a = h * s;
    slope = multiply_add(a, T(1) - s, s);
    return a;
  }
};

// h tanh(softplus(h)) = h w / (w + 2) with w = e^h (e^h + 2): Misra, 2019.
template <class T>
struct Mish {
  static Vec<T> value(Vec<T> h, Vec<T>& slope) {
    const Vec<T> power = exp<T>(smaller(broadcast(T(20)), h));  // from there on the fraction is 1
    const Vec<T> w = power * (power + T(2)), bent = w / (w + T(2));
    const Vec<T> a = h * bent;
    // dh of the fraction: sigmoid(h) (1 - bent^2)
    const Vec<T> bend = power / (T(1) + power) * ((T(1) - bent) * (T(1) + bent));
    slope = multiply_add(h, bend, bent);
    return a;
  }
};

// Its derivative is the sigmoid, 1 - e^-a.
template <class T>
struct Softplus {
  static Vec<T> value(Vec<T> h) { return softplus<T>(h); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return -delta * expm1_of_negative<T>(-a); }
};

template <class T>
struct Softsign {
  static Vec<T> value(Vec<T> h) { return h / (T(1) + magnitude<T>(h)); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) {
    const Vec<T> left = T(1) - magnitude<T>(a);
    return delta * (left * left);
  }
};

template <class T>
struct Exponential {
  static Vec<T> value(Vec<T> h) { return exp<T>(h); }
  static Vec<T> slope(Vec<T> delta, Vec<T> a) { return delta * a; }
};

// What loops are written over: a formula with value(h), with value(h, slope), and, where it needs no more
// than the output, slope(delta, a).
template <class T, class Formula, bool FromOutput>
struct Function {
  static constexpr bool from_output = FromOutput;

  static CHAINRULE_INLINE Vec<T> value(Vec<T> h) {
    if constexpr (FromOutput) {
      return Formula::value(h);
    } else {
      Vec<T> slope;
      return Formula::value(h, slope);
    }
  }
  static CHAINRULE_INLINE Vec<T> value(Vec<T> h, Vec<T>& slope) {
    if constexpr (FromOutput) {
      const Vec<T> a = Formula::value(h);
      slope = Formula::slope(broadcast(T(1)), a);
      return a;
    } else {
      return Formula::value(h, slope);
    }
  }
  // Where the output does not tell, `kept` is a slope.
  static CHAINRULE_INLINE Vec<T> slope(Vec<T> delta, Vec<T> kept) {
    if constexpr (FromOutput) {
      return Formula::slope(delta, kept);
    } else {
      return delta * kept;
    }
  }
};

// Calls work with the activation's function, so that loops are compiled for each. The softmax is none of
// them: its outputs depend on each other (see loss.inl).
template <class T, class Work>
CHAINRULE_INLINE void with_activation(Activation activation, Work work) {
  switch (activation) {
#define CHAINRULE_CASE(name, formula, from_output) \
  case Activation::name:                           \
    return work(Function<T, formula<T>, from_output>{});
    CHAINRULE_ACTIVATIONS(CHAINRULE_CASE)
#undef CHAINRULE_CASE
    case Activation::softmax:
      return work(Function<T, Identity<T>, true>{});
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
  if (y_stride == x_stride && y_stride == static_cast<std::ptrdiff_t>(columns)) {  // one long row
    columns *= rows;
    rows = 1;
  }
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

// The same in place, keeping each unit's slope da/dh beside it, and dropping some: for activations whose
// outputs do not tell it.
template <class T>
CHAINRULE_INLINE void activate_keeping_slopes(Activation activation, T* a, T* slopes, std::ptrdiff_t stride,
                                              std::size_t rows, std::size_t columns, const Dropout& dropout,
                                              Places places) {
  const Dropper<T> dropper(dropout);
  const bool drops = dropout.share != 0;
  const Bits<T> across = indices<T>(places.column * kLanes<T>, 0);
  with_activation<T>(activation, [&](auto function) {
    T *to = a, *beside = slopes;
    for (std::size_t i = 0; i < rows; ++i, to += stride, beside += stride) {
      Bits<T> index = indices<T>(places.first + i * places.row, places.column);
      for (std::size_t j = 0; j < columns; j += kLanes<T>, index += across) {
        Vec<T> slope, value = decltype(function)::value(load_most(to + j, columns - j), slope);
        if (drops) {
          const Vec<T> factor = dropper.factor(index);
          value *= factor;
          slope *= factor;
        }
        store_most(to + j, value, columns - j);
        store_most(beside + j, slope, columns - j);
      }
    }
  });
}

template <class T>
void activate_keeping_slopes(Activation activation, T* a, T* slopes, std::ptrdiff_t stride, std::size_t rows,
                             std::size_t columns, const Dropout& dropout) {
  const std::size_t first = dropout.first_row * dropout.units + dropout.first_column;
  activate_keeping_slopes(activation, a, slopes, stride, rows, columns, dropout, {first, dropout.units, 1});
}

// x[i][j] = f(x[i][j], y[i][j]) over rows.
template <class T, class F>
inline void combine_rows(T* x, std::ptrdiff_t x_stride, const T* y, std::ptrdiff_t y_stride, std::size_t rows,
                         std::size_t columns, F f) {
  for (std::size_t i = 0; i < rows; ++i, x += x_stride, y += y_stride) combine(x, y, columns, f);
}

template <class T>
void activation_backward(Activation activation, T* delta, std::ptrdiff_t delta_stride, const T* kept,
                         std::ptrdiff_t kept_stride, std::size_t rows, std::size_t columns, bool are_slopes) {
  if (are_slopes) {
    combine_rows(delta, delta_stride, kept, kept_stride, rows, columns,
                 [](Vec<T> d, Vec<T> slope) { return d * slope; });
  } else if (activation != Activation::identity) {
    with_activation<T>(activation, [&](auto function) {
      combine_rows(delta, delta_stride, kept, kept_stride, rows, columns,
                   [](Vec<T> d, Vec<T> a) { return decltype(function)::slope(d, a); });
    });
  }
}

}  // namespace
}  // namespace chainrule
