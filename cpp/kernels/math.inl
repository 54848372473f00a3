// exp, log, tanh and sigmoid of vectors, within 2 ulp over their whole range; the same bits wherever
// multiply-add is fused. Arguments are reduced as in Cody and Waite, "Software Manual for the Elementary
// Functions", 1980; the polynomials are minimax fits (benchmarks/minimax.py).

namespace chainrule {
namespace {

// What the functions need to know of a floating-point format. Coefficients are lowest order first.
template <class T>
struct Format;

template <>
struct Format<float> {
  using Int = std::int32_t;
  using Bits = std::uint32_t;
  static constexpr Int mantissa = 23, bias = 127;
  static constexpr float round = 0x1.8p23f;  // adding it leaves an integer in the lowest bits
  static constexpr float log2e = 0x1.715476p0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float exp_least = -104.0f, exp_most = 89.0f;  // beyond, the result is 0 or infinity
  static constexpr Int reciprocal = 0x7ef311c7;
  static constexpr int reciprocal_steps = 3;
  static constexpr float least_normal = 0x1p-126f, sqrt_half = 0x1.6a09e6p-1f;
  // (e^r - 1 - r) / r^2 for |r| <= ln2 / 2
  static constexpr float exp_tail[] = {0.500000004641f,   0.166666668171f,   0.041666354664f,
                                       0.00833327304516f, 0.00139410082787f, 0.000199141727084f};
  // (tanh(r) / r - 1) / r^2 as a polynomial of r^2, for |r| <= 3 ln2 / 8; tanh is 1 from tanh_most on
  static constexpr float tanh_tail[] = {-0.3333321662899002f, 0.1332276982623534f, -0.05123477387798288f};
  static constexpr float tanh_most = 9.02f;
  // (2 atanh(s) / s - 2) / s^2 as a polynomial of s^2, for |s| <= (sqrt 2 - 1) / (sqrt 2 + 1)
  static constexpr float log_tail[] = {0.6666677644874784f, 0.3997753236936983f, 0.298719971232827f};
  // e^(z^2) erfc(z) (1 + 2 z) as a polynomial of (z - erfc_center) / (z + erfc_center)
  static constexpr float erfc_center = 2;
  static constexpr float erfc_tail[] = {1.276978392967580f,     -0.09276397666445934f, -0.1660313896806309f,
                                        0.1640552669617222f,    -0.05420471102022122f, -0.008059599022311919f,
                                        0.008633270842154745f,  0.001313722500699985f, -0.001231877115551519f,
                                        -0.0004017151439184845f};
};

template <>
struct Format<double> {
  using Int = std::int64_t;
  using Bits = std::uint64_t;
  static constexpr Int mantissa = 52, bias = 1023;
  static constexpr double round = 0x1.8p52;
  static constexpr double log2e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42feep-1,
                          ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double exp_least = -746.0, exp_most = 710.0;
  static constexpr Int reciprocal = 0x7fde623822fc16e6;
  static constexpr int reciprocal_steps = 4;
  static constexpr double least_normal = 0x1p-1022, sqrt_half = 0x1.6a09e667f3bcdp-1;
  static constexpr double exp_tail[] = {
      0.499999999999999999858,      0.1666666666666667659919,      0.04166666666666670134587,
      0.0083333333333216158363,     0.001388888888886684993324,    0.0001984126988615840616821,
      0.00002480158736052823855808, 0.000002755724418211150582801, 2.755724278628352085021e-7,
      2.510904481035721282453e-8,   2.092443441433906696129e-9};
  static constexpr double tanh_tail[] = {-0.3333333333333242932144,   0.1333333333299070290698,
                                         -0.05396825352881043046579,  0.02186946178738761026882,
                                         -0.008862362999931174481048, 0.003576420728543834083081,
                                         -0.001307714192146831559273};
  static constexpr double tanh_most = 19.07;
  static constexpr double log_tail[] = {
      0.6666666666666734509343, 0.3999999999941395966342, 0.2857142874256279876025, 0.2222219855373685858491,
      0.1818356540907163865419, 0.1531402108604486159925, 0.1479626138295996037704};
  static constexpr double erfc_center = 3;
  static constexpr double erfc_tail[] = {
      1.253008058269729656024,       -0.1356211061245810335825,    -0.04756229435345231231061,
      0.1296451587027433603749,      -0.1192736634152093046759,    0.06830802734462114180421,
      -0.02377051492105148194568,    0.002529391804870964413352,   0.001888690388061272871957,
      -0.0007798321625294304531134,  -0.0001051599938453335606646, 0.0001250986910093014221208,
      0.00000495025779485198709698,  -0.0000200979854334669130906, -7.333404258932574767253e-7,
      0.000003465764879906806661501, 3.59178465281383449269e-7,    -6.054331721621899648728e-7,
      -1.424159442053426782083e-7,   8.994612222590905480405e-8,   4.004931775990767333678e-8,
      -6.079672316324422552448e-9,   -6.165310588113907792792e-9,  -9.307287829584779363549e-10};
};

template <class T>
struct IntVecOf {
  typedef typename Format<T>::Int type __attribute__((vector_size(CHAINRULE_VECTOR_BYTES)));
};
template <class T>
using IntVec = typename IntVecOf<T>::type;

// a[i] where the lane of the mask is set, else b[i]
template <class T>
CHAINRULE_INLINE Vec<T> select(IntVec<T> mask, Vec<T> a, Vec<T> b) {
  return (Vec<T>)((mask & (IntVec<T>)a) | (~mask & (IntVec<T>)b));
}

template <class T, std::size_t... Lane>
inline IntVec<T> numbers_of_lanes(Indices<Lane...>) {
  return IntVec<T>{static_cast<typename Format<T>::Int>(Lane)...};
}

// Set in the first `count` lanes.
template <class T>
inline IntVec<T> first_lanes(std::size_t count) {
  return numbers_of_lanes<T>(LaneIndices<T>{}) < static_cast<typename Format<T>::Int>(count);
}

template <class T>
inline bool any(IntVec<T> mask) {
  typename Format<T>::Int bits = 0;
  for (std::size_t k = 0; k < kLanes<T>; ++k) bits |= mask[k];
  return bits != 0;
}

template <class T>
CHAINRULE_INLINE Vec<T> magnitude(Vec<T> x) {
  return (Vec<T>)((IntVec<T>)x & ~(IntVec<T>)broadcast<T>(T(-0.0)));
}

template <class T>
CHAINRULE_INLINE Vec<T> copy_sign(Vec<T> x, Vec<T> sign) {
  const IntVec<T> bit = (IntVec<T>)broadcast<T>(T(-0.0));
  return (Vec<T>)((IntVec<T>)x | ((IntVec<T>)sign & bit));
}

// Estrin's scheme: pairs of terms in parallel, for the chain of a single vector is what a small net waits
// for.
template <class T, int Count>
CHAINRULE_INLINE Vec<T> polynomial(const T (&c)[Count], Vec<T> x) {
  if constexpr (Count == 3) {  // in order: no longer a chain, and one operation less
    return multiply_add(multiply_add(broadcast(c[2]), x, broadcast(c[1])), x, broadcast(c[0]));
  }
  const Vec<T> x2 = x * x;
  Vec<T> sum = Count % 2 == 1 ? broadcast(c[Count - 1])
                              : multiply_add(broadcast(c[Count - 1]), x, broadcast(c[Count - 2]));
  for (int i = (Count - 1) / 2 * 2 - 2; i >= 0; i -= 2) {
    sum = multiply_add(sum, x2, multiply_add(broadcast(c[i + 1]), x, broadcast(c[i])));
  }
  return sum;
}

// 1 / x to 2 ulp for positive normal x: the exponent's sign is turned in the bits, which is right to 0.0505,
// and the error e is taken out by (1 + e) (1 + e^2) (1 + e^4) ...
template <class T>
CHAINRULE_INLINE Vec<T> reciprocal(Vec<T> x) {
  using F = Format<T>;
  Vec<T> y = (Vec<T>)(F::reciprocal - (IntVec<T>)x);
  Vec<T> e = multiply_add(-x, y, broadcast(T(1)));
  for (int i = 0; i < F::reciprocal_steps; ++i, e *= e) y = multiply_add(y, e, y);
  return y;
}

// e^x = 2^n (1 + q), |q| < 0.42: where x is within exp_least and exp_most, or NaN; q is 0 where x < `least`.
// n is left in the last bits of `shifted`.
template <class T>
CHAINRULE_INLINE Vec<T> reduced_exp(Vec<T> x, Vec<T>& shifted, T least = Format<T>::exp_least) {
  using F = Format<T>;
#if !defined(__AVX512F__)
  x = larger(broadcast(least), x);
#endif
  shifted = multiply_add(x, broadcast(F::log2e), broadcast(F::round));
  const Vec<T> whole = shifted - F::round;
  Vec<T> r = multiply_add(whole, broadcast(-F::ln2_high), x);
  r = multiply_add(whole, broadcast(-F::ln2_low), r);
#if defined(__AVX512F__)
  // Zeroed at the end: an argument cut at the start is one more in the chain that a single vector waits for.
  return multiply_add_unless_less(r * r, polynomial(F::exp_tail, r), r, x, broadcast(least));
#else
  return multiply_add(r * r, polynomial(F::exp_tail, r), r);
#endif
}

template <class T>
CHAINRULE_INLINE Vec<T> exp(Vec<T> x) {
  using F = Format<T>;
  x = smaller(broadcast(F::exp_most), x);  // its second argument where that is NaN, so NaN passes
  Vec<T> shifted;
  const Vec<T> q = reduced_exp<T>(x, shifted);
#if defined(__AVX512F__)
  return scale(T(1) + q, shifted - F::round);
#else
  // By two factors, for 2^n may be beyond the largest exponent, or subnormal. The bias is in n twice.
  const IntVec<T> n = (IntVec<T>)shifted - ((IntVec<T>)broadcast(F::round) - 2 * F::bias);
  const IntVec<T> half = n >> 1;
  const Vec<T> scale1 = (Vec<T>)(half << F::mantissa), scale2 = (Vec<T>)((n - half) << F::mantissa);
  return multiply_add(q, scale1, scale1) * scale2;
#endif
}

// 2^n for n <= 0 as reduced_exp leaves it; subnormal or zero where it must be.
template <class T>
CHAINRULE_INLINE Vec<T> power_of_two(Vec<T> shifted) {
  using F = Format<T>;
#if defined(__AVX512F__)
  return scale(broadcast(T(1)), shifted - F::round);
#else
  const IntVec<T> n = (IntVec<T>)shifted - ((IntVec<T>)broadcast(F::round) - 2 * F::bias);
  const IntVec<T> half = n >> 1;
  return (Vec<T>)(half << F::mantissa) * (Vec<T>)((n - half) << F::mantissa);
#endif
}

// 1 / (1 + e^-x) = numerator / (1 + z) with z = e^-|x|, which cannot overflow. What rounding takes from 1 + z
// is put back to first order.
template <class T>
CHAINRULE_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> minus = copy_sign<T>(x, broadcast(T(-0.0))), one = broadcast(T(1));
#if defined(__FMA__) || defined(__aarch64__)
  Vec<T> shifted;
  const Vec<T> q = reduced_exp<T>(minus, shifted);
  const Vec<T> power = power_of_two<T>(shifted), above = one + power;
  const Vec<T> sum = multiply_add(q, power, above);
  const Vec<T> lost = multiply_add(q, power, above - sum) + (power - (above - one));
  // power + power q = z or 1 + 0 q: chosen before q is there, which everything waits for
  const Vec<T> numerator = multiply_add(select<T>(x < 0, power, Vec<T>{}), q, select<T>(x < 0, power, one));
#else
  // Unfused, that is up to 2.02 ulp off.
  const Vec<T> z = exp<T>(minus), sum = one + z, lost = z - (sum - one);
  const Vec<T> numerator = select<T>(x < 0, z, one);
#endif
  const Vec<T> y = numerator / sum;
  return multiply_add(-y, lost, y);
}

// tanh x = (p - 1 + (p + 1) t) / (p + 1 + (p - 1) t) with p = 2^n and t = tanh r, x = n ln2 / 2 + r, for x >=
// 0: at most 1.75 ulp off. The divisor is the numerator + 2 (1 - t), so that a rounding is in both, and goes
// from the quotient near 1; as a sum of its own it makes 2.5 ulp. r is from -1/4 to 3/4 of ln2 / 2, so that n
// is 0 up to 0.26, and the result t itself; with n to nearest it is 2.3 ulp. An estimated reciprocal with
// Newton's steps is slower than the division.
template <class T>
CHAINRULE_INLINE Vec<T> tanh(Vec<T> x) {
  using F = Format<T>;
  constexpr T round = F::round + 2 * F::bias;  // leaves 2 n + 2 bias, or that + 1, in the lowest bits
  constexpr T quarter_ln2 = T(0.25) * (F::ln2_high + F::ln2_low);
  const Vec<T> size = smaller(broadcast(F::tanh_most), magnitude<T>(x));  // NaN passes
  const Vec<T> near = multiply_add(size, broadcast(T(4) * F::log2e), broadcast(round));
  const IntVec<T> twice = (IntVec<T>)near & ~typename F::Int(1);
  const Vec<T> r = multiply_add((Vec<T>)twice - round, broadcast(-quarter_ln2), size);
  const Vec<T> power = (Vec<T>)(twice << (F::mantissa - 1));
  const Vec<T> r2 = r * r, t = multiply_add(r * r2, polynomial(F::tanh_tail, r2), r);
  const Vec<T> numerator = multiply_add(t, power + T(1), power - T(1));
  const Vec<T> rest = multiply_add(t, broadcast(T(-2)), broadcast(T(2)));
  return copy_sign<T>(numerator / (numerator + rest), x);
}

// log(2^exponent (1 + f)), with 1 + f from sqrt(1/2) to sqrt(2).
template <class T>
CHAINRULE_INLINE Vec<T> log_of_parts(Vec<T> exponent, Vec<T> f) {
  using F = Format<T>;
  const Vec<T> s = f / (T(2) + f), w = s * s;
  const Vec<T> half_square = T(0.5) * f * f;
  const Vec<T> tail = w * polynomial(F::log_tail, w);
  const Vec<T> low = multiply_add(exponent, broadcast(F::ln2_low), s * (half_square + tail));
  return multiply_add(exponent, broadcast(F::ln2_high), f - (half_square - low));
}

template <class T>
inline Vec<T> log(Vec<T> x) {
  using F = Format<T>;
  const IntVec<T> tiny = x < F::least_normal;
  const Vec<T> scaled = select<T>(tiny, x * T(typename Format<T>::Int(1) << F::mantissa), x);
  // k: the exponent that leaves m in [sqrt(1/2), sqrt(2))
  const IntVec<T> origin = (IntVec<T>)broadcast(F::sqrt_half);
  // Without signs, for of a negative number, which ends as NaN, the difference wraps.
  typedef typename F::Bits BitVec __attribute__((vector_size(CHAINRULE_VECTOR_BYTES)));
  const IntVec<T> offset = (IntVec<T>)((BitVec)scaled - (BitVec)origin);
  const IntVec<T> k = (offset >> F::mantissa) - (tiny & F::mantissa);
  const IntVec<T> fraction = offset & ((typename F::Int(1) << F::mantissa) - 1);
  Vec<T> y = log_of_parts<T>(__builtin_convertvector(k, Vec<T>), (Vec<T>)(fraction + origin) - T(1));
  y = select<T>(x == 0, broadcast(T(-__builtin_inf())), y);
  y = select<T>(x < 0, broadcast(T(__builtin_nan(""))), y);
  return select<T>((x == T(__builtin_inf())) | (x != x), x, y);
}

// e^x - 1 for x <= 0, right to some ulp also near 0.
template <class T>
CHAINRULE_INLINE Vec<T> expm1_of_negative(Vec<T> x) {
  Vec<T> shifted;
  const Vec<T> q = reduced_exp<T>(x, shifted), power = power_of_two<T>(shifted);
  return multiply_add(q, power, power - T(1));
}

// log(1 + z) for 0 <= z <= 1: 1 + z = 1 + f or 2 (1 + f), and is itself never rounded.
template <class T>
CHAINRULE_INLINE Vec<T> log1p_of_fraction(Vec<T> z) {
  const IntVec<T> above = z > T(0.41421356);
  const Vec<T> f = select<T>(above, multiply_add(z, broadcast(T(0.5)), broadcast(T(-0.5))), z);
  return log_of_parts<T>(select<T>(above, broadcast(T(1)), Vec<T>{}), f);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
template <class T>
inline Vec<T> softplus(Vec<T> x) {
  const Vec<T> size = magnitude<T>(x);
  return larger(Vec<T>{}, x) + log1p_of_fraction<T>(exp<T>(-size));
}

// The normal distribution function, and its density: 1 - Phi(|x|) = erfc(z) / 2 with z = |x| / sqrt 2, whose
// exponential is the density's.
template <class T>
inline Vec<T> normal_distribution(Vec<T> x, Vec<T>& density) {
  using F = Format<T>;
  // From 40 on there is nothing left of either, and squares would overflow.
  const Vec<T> size = smaller(broadcast(T(40)), magnitude<T>(x)), z = size * T(0.707106781186547524401);
  const Vec<T> bell = exp<T>(T(-0.5) * size * size);
  density = bell * T(0.398942280401432677940);
  // one division for both fractions
  const Vec<T> sum = z + F::erfc_center, scale = multiply_add(z, broadcast(T(2)), broadcast(T(1)));
  const Vec<T> inverse = T(1) / (sum * scale);
  const Vec<T> tail = polynomial(F::erfc_tail, (z - F::erfc_center) * scale * inverse);
  const Vec<T> beyond = T(0.5) * bell * tail * sum * inverse;
  return select<T>(x > 0, T(1) - beyond, beyond);
}

}  // namespace
}  // namespace chainrule
