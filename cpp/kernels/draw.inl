// Random numbers in lanes, each a function of keys and its index alone: for dropout and noise.

namespace chainrule {
namespace {

// One 32-bit number a lane of T.
template <class T>
struct BitsOf {
  typedef std::uint32_t type __attribute__((vector_size(kLanes<T> * sizeof(std::uint32_t))));
};
template <class T>
using Bits = typename BitsOf<T>::type;

template <class T, std::size_t... Lane>
inline Bits<T> bits_of_lanes(Indices<Lane...>) {
  return Bits<T>{static_cast<std::uint32_t>(Lane)...};
}

// first, first + step, first + 2 step, ...
template <class T>
inline Bits<T> indices(std::size_t first, std::size_t step) {
  return bits_of_lanes<T>(LaneIndices<T>{}) * static_cast<std::uint32_t>(step) +
         static_cast<std::uint32_t>(first);
}

// A bijection of 32 bits that leaves no visible trace of its argument in the high ones: Wellons, "Prospecting
// for hash functions", 2018, without the last step, which mixes them into the low ones.
template <class V>
inline V mix(V x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  return (x ^ (x >> 15)) * 0x846ca68bu;
}

template <class T>
inline Bits<T> random_bits(DrawKeys keys, Bits<T> index) {
  return mix(index ^ keys.first) + keys.second;
}

// Where in the minibatch the numbers of a matrix are: that of (i, j) at first + i row + j column.
struct Places {
  std::size_t first, row, column;
};

// Drops a layer's outputs and scales those that stay.
template <class T>
struct Dropper {
  Dropout dropout;
  std::uint32_t threshold;
  Vec<T> scale;

  explicit Dropper(const Dropout& of)
      : dropout(of),
        threshold(static_cast<std::uint32_t>(of.share * 4294967296.0)),
        scale(broadcast(static_cast<T>(1 / (1 - of.share)))) {}

  // What a and its slope are multiplied by; `index`: row * units + unit.
  Vec<T> factor(Bits<T> index) const {
    const auto kept = random_bits<T>(dropout.keys, index) >= threshold;
    return select<T>(__builtin_convertvector(kept, IntVec<T>), scale, Vec<T>{});
  }
};

// A normal number for every 32 bits: the inverse of the normal distribution at (bits + 1/2) / 2^32, by
// Wichura, "Algorithm AS 241", 1988 (PPND7 for float, PPND16 for double).
template <class T, int Count>
inline Vec<T> ratio(const double (&above)[Count], const double (&below)[Count], Vec<T> x) {
  Vec<T> p = broadcast(static_cast<T>(above[Count - 1])), q = broadcast(static_cast<T>(below[Count - 1]));
  for (int i = Count - 2; i >= 0; --i) {
    p = multiply_add(p, x, broadcast(static_cast<T>(above[i])));
    q = multiply_add(q, x, broadcast(static_cast<T>(below[i])));
  }
  return p / q;
}

template <class T>
inline Vec<T> normal_quantile(Vec<T> centred, Vec<T> tail) {
  // of p - 1/2 = `centred`, and of min(p, 1 - p) = `tail`
  constexpr double a[] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                          1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                          3.3430575583588128105e4, 2.5090809287301226727e3};
  constexpr double b[] = {1.0,
                          4.2313330701600911252e1,
                          6.8718700749205790830e2,
                          5.3941960214247511077e3,
                          2.1213794301586595867e4,
                          3.9307895800092710610e4,
                          2.8729085735721942674e4,
                          5.2264952788528545610e3};
  constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                          3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                          2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double d[] = {1.0,
                          2.05319162663775882187e0,
                          1.67638483018380384940e0,
                          6.89767334985100004550e-1,
                          1.48103976427480074590e-1,
                          1.51986665636164571966e-2,
                          5.47593808499534494600e-4,
                          1.05075007164441684324e-9};
  // 32 bits reach no farther than 6.4 deviations, where r is below 5: the farthest tail's fraction is not
  // needed.
  const Vec<T> near = centred * ratio<T>(a, b, T(0.180625) - centred * centred);
  const Vec<T> r = square_root(-log<T>(tail)) - T(1.6);
  const Vec<T> far = copy_sign<T>(ratio<T>(c, d, r), centred);
  return select<T>(magnitude<T>(centred) <= T(0.425), near, far);
}

template <class T>
inline Vec<T> normal_numbers(DrawKeys keys, Bits<T> index) {
  const Bits<T> bits = random_bits<T>(keys, index);
  // p - 1/2 and the distance to the nearer end, each exact to the last bit that T has
  typedef std::int32_t Signed __attribute__((vector_size(kLanes<T> * sizeof(std::int32_t))));
  const Signed offset = (Signed)(bits ^ 0x80000000u);
  constexpr T unit = T(1) / T(4294967296.0);
  const Vec<T> centred = (__builtin_convertvector(offset, Vec<T>) + T(0.5)) * unit;
  const Signed end = (Signed)(bits ^ (Bits<T>)((Signed)bits >> 31));  // below 2^31
  const Vec<T> tail = (__builtin_convertvector(end, Vec<T>) + T(0.5)) * unit;
  return normal_quantile<T>(centred, tail);
}

template <class T>
void add_noise(T* y, std::ptrdiff_t y_stride, const T* x, std::ptrdiff_t x_stride, double deviation,
               DrawKeys keys, std::size_t first_row, std::size_t rows, std::size_t columns) {
  const Vec<T> scale = broadcast(static_cast<T>(deviation));
  for (std::size_t i = 0; i < rows; ++i, y += y_stride, x += x_stride) {
    for (std::size_t j = 0; j < columns; j += kLanes<T>) {
      const Vec<T> noise = normal_numbers<T>(keys, indices<T>((first_row + i) * columns + j, 1));
      store_most(y + j, multiply_add(scale, noise, load_most(x + j, columns - j)), columns - j);
    }
  }
}

}  // namespace
}  // namespace chainrule
