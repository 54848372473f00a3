// The thin vector type that the kernels are written over: lanes of T, as wide as the instruction set has.
// Arithmetic is the compiler's; here is only what differs between instruction sets.

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE4_2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define CHAINRULE_VECTOR_BYTES 64
#define CHAINRULE_REGISTERS 32
#elif defined(__AVX2__)
#define CHAINRULE_VECTOR_BYTES 32
#define CHAINRULE_REGISTERS 16
#elif defined(__aarch64__)
#define CHAINRULE_VECTOR_BYTES 16
#define CHAINRULE_REGISTERS 32
#else
#define CHAINRULE_VECTOR_BYTES 16
#define CHAINRULE_REGISTERS 16
#endif

// For functions of vectors: a call would pass them through memory on some systems, and costs a tenth of a
// step of the smallest nets.
#define CHAINRULE_INLINE inline __attribute__((always_inline))

namespace chainrule {
namespace {

template <class T>
struct VecOf {
  typedef T type __attribute__((vector_size(CHAINRULE_VECTOR_BYTES)));
};
template <class T>
using Vec = typename VecOf<T>::type;

template <class T>
inline constexpr std::size_t kLanes = CHAINRULE_VECTOR_BYTES / sizeof(T);

// 0, 1, 2, ... to the number of lanes, as the arguments of a template: the standard library's is not for
// these files.
template <std::size_t... Index>
struct Indices {};
template <std::size_t Count, std::size_t... Index>
struct CountedIndices : CountedIndices<Count - 1, Count - 1, Index...> {};
template <std::size_t... Index>
struct CountedIndices<0, Index...> {
  using type = Indices<Index...>;
};
template <class T>
using LaneIndices = typename CountedIndices<kLanes<T>>::type;

template <class T>
inline Vec<T> load(const T* from) {
  Vec<T> v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class T>
inline void store(T* to, Vec<T> v) {
  __builtin_memcpy(to, &v, sizeof v);
}

template <class T>
inline Vec<T> broadcast(T value) {
  return value -
         Vec<T>{};  // folds to a broadcast from memory; Vec<T>{} + value would not, for value may be -0
}

// Scalar multiply-add: fused where the vector one is, so that lanes and remainders agree.
template <class T>
inline T multiply_add(T a, T b, T c) {
#if defined(__FMA__) || defined(__aarch64__)
  if constexpr (sizeof(T) == 4) {
    return __builtin_fmaf(a, b, c);
  } else {
    return __builtin_fma(a, b, c);
  }
#else
  return a * b + c;
#endif
}

// Multiply-add; the larger and the smaller of two numbers, b where one is NaN; square root; part of a vector.
#if defined(__AVX512F__)

inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
// The masked forms, for some compilers warn of what the plain ones leave undefined.
inline Vec<float> larger(Vec<float> a, Vec<float> b) { return _mm512_maskz_max_ps(0xffff, a, b); }
inline Vec<double> larger(Vec<double> a, Vec<double> b) { return _mm512_maskz_max_pd(0xff, a, b); }
inline Vec<float> smaller(Vec<float> a, Vec<float> b) { return _mm512_maskz_min_ps(0xffff, a, b); }
inline Vec<double> smaller(Vec<double> a, Vec<double> b) { return _mm512_maskz_min_pd(0xff, a, b); }
inline Vec<float> square_root(Vec<float> x) { return _mm512_maskz_sqrt_ps(0xffff, x); }
inline Vec<double> square_root(Vec<double> x) { return _mm512_maskz_sqrt_pd(0xff, x); }
// x * 2^n
inline Vec<float> scale(Vec<float> x, Vec<float> n) { return _mm512_maskz_scalef_ps(0xffff, x, n); }
inline Vec<double> scale(Vec<double> x, Vec<double> n) { return _mm512_maskz_scalef_pd(0xff, x, n); }
// 0 where x < least, else a b + c
inline Vec<float> multiply_add_unless_less(Vec<float> a, Vec<float> b, Vec<float> c, Vec<float> x,
                                           Vec<float> least) {
  return _mm512_maskz_fmadd_ps(_mm512_cmp_ps_mask(x, least, _CMP_NLT_UQ), a, b, c);
}
inline Vec<double> multiply_add_unless_less(Vec<double> a, Vec<double> b, Vec<double> c, Vec<double> x,
                                            Vec<double> least) {
  return _mm512_maskz_fmadd_pd(_mm512_cmp_pd_mask(x, least, _CMP_NLT_UQ), a, b, c);
}
inline Vec<float> load_first(const float* from, std::size_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
}
inline Vec<double> load_first(const double* from, std::size_t count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), from);
}
inline void store_first(float* to, Vec<float> v, std::size_t count) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), v);
}
inline void store_first(double* to, Vec<double> v, std::size_t count) {
  _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1), v);
}

#elif defined(__AVX2__)

inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
inline Vec<float> larger(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a, b); }
inline Vec<double> larger(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a, b); }
inline Vec<float> smaller(Vec<float> a, Vec<float> b) { return _mm256_min_ps(a, b); }
inline Vec<double> smaller(Vec<double> a, Vec<double> b) { return _mm256_min_pd(a, b); }
inline Vec<float> square_root(Vec<float> x) { return _mm256_sqrt_ps(x); }
inline Vec<double> square_root(Vec<double> x) { return _mm256_sqrt_pd(x); }
inline __m256i first32(std::size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i first64(std::size_t count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(count)),
                            _mm256_setr_epi64x(0, 1, 2, 3));
}
inline Vec<float> load_first(const float* from, std::size_t count) {
  return _mm256_maskload_ps(from, first32(count));
}
inline Vec<double> load_first(const double* from, std::size_t count) {
  return _mm256_maskload_pd(from, first64(count));
}
inline void store_first(float* to, Vec<float> v, std::size_t count) {
  _mm256_maskstore_ps(to, first32(count), v);
}
inline void store_first(double* to, Vec<double> v, std::size_t count) {
  _mm256_maskstore_pd(to, first64(count), v);
}

#else

#if defined(__aarch64__)
inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return vfmaq_f32(c, a, b); }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) { return vfmaq_f64(c, a, b); }
inline Vec<float> square_root(Vec<float> x) { return vsqrtq_f32(x); }
inline Vec<double> square_root(Vec<double> x) { return vsqrtq_f64(x); }
#else
inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
inline Vec<float> square_root(Vec<float> x) { return _mm_sqrt_ps(x); }
inline Vec<double> square_root(Vec<double> x) { return _mm_sqrt_pd(x); }
#endif
template <class V>
inline V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
inline V smaller(V a, V b) {
  return a < b ? a : b;
}
template <class T>
inline Vec<T> load_first(const T* from, std::size_t count) {
  Vec<T> v{};
  for (std::size_t i = 0; i < count && i < kLanes<T>; ++i) v[i] = from[i];
  return v;
}
template <class T>
inline void store_first(T* to, Vec<T> v, std::size_t count) {
  for (std::size_t i = 0; i < count && i < kLanes<T>; ++i) to[i] = v[i];
}

#endif

// As much of a vector as there is: `count` elements, or all where count is larger.
template <class T>
inline Vec<T> load_most(const T* from, std::size_t count) {
  return count >= kLanes<T> ? load(from) : load_first(from, count);
}
template <class T>
inline void store_most(T* to, Vec<T> v, std::size_t count) {
  count >= kLanes<T> ? store(to, v) : store_first(to, v, count);
}

// Interleaves two rows of a square of blocks, each `Block` lanes wide: (a0 a1 a2 ...), (b0 b1 b2 ...) become
// (a0 b0 a2 b2 ...) and (a1 b1 a3 b3 ...).
template <class T, int Block, std::size_t... Lane>
inline void exchange(Vec<T>& a, Vec<T>& b, Indices<Lane...>) {
  constexpr int lanes = kLanes<T>;
  const Vec<T> even = __builtin_shufflevector(a, b, (Lane & Block ? lanes + (Lane ^ Block) : Lane)...);
  b = __builtin_shufflevector(a, b, (Lane & Block ? lanes + Lane : Lane ^ Block)...);
  a = even;
}

// Transposes a square of vectors in registers: blocks of one lane, then two, four, ...
template <class T, int Block>
inline void transpose_square(Vec<T> (&rows)[kLanes<T>]) {
  if constexpr (Block < static_cast<int>(kLanes<T>)) {
    for (int i = 0; i < static_cast<int>(kLanes<T>); ++i) {
      if ((i & Block) == 0) exchange<T, Block>(rows[i], rows[i + Block], LaneIndices<T>{});
    }
    transpose_square<T, 2 * Block>(rows);
  }
}

// to (columns, rows) = from (rows, columns) transposed, `to` padded with zeros to `room` columns.
template <class T>
void transpose(T* to, std::ptrdiff_t to_stride, std::size_t room, const T* from, std::ptrdiff_t from_stride,
               std::size_t rows, std::size_t columns) {
  constexpr std::size_t side = kLanes<T>;
  const bool from_line = columns == 1 && from_stride == 1, to_line = room == 1 && to_stride == 1;
  if (from_line || to_line) {  // the same numbers in the same order
    const std::size_t there = from_line ? rows : columns, wanted = from_line ? room : columns;
    for (std::size_t i = 0; i < wanted; i += side) {
      const Vec<T> numbers = i < there ? load_most(from + i, there - i) : Vec<T>{};
      store_most(to + i, numbers, wanted - i);
    }
    return;
  }
  if (columns == 1 || room == 1) {  // squares would be all but empty
    for (std::size_t j = 0; j < room; ++j) {
      for (std::size_t p = 0; p < columns; ++p)
        to[p * to_stride + j] = j < rows ? from[j * from_stride + p] : T(0);
    }
    return;
  }
  for (std::size_t j = 0; j < rows; j += side, from += side * from_stride) {
    const std::size_t tall = rows - j < side ? rows - j : side;
    for (std::size_t p = 0; p < columns; p += side) {
      const std::size_t count = columns - p < side ? columns - p : side;
      Vec<T> square[side] = {};
      for (std::size_t r = 0; r < tall; ++r) square[r] = load_most(from + r * from_stride + p, columns - p);
      transpose_square<T, 1>(square);
      for (std::size_t r = 0; r < count; ++r) store_most(to + (p + r) * to_stride + j, square[r], room - j);
    }
  }
}

// Sums over rows or inputs are taken in this many vectors, 64 bytes of lanes whatever the vector's width, so
// that they have the same bits for every width.
inline constexpr std::size_t kParts = kAlignment / CHAINRULE_VECTOR_BYTES;

template <class T, std::size_t Count = kParts>
inline Vec<T> sum_of_parts(Vec<T> (&parts)[kParts]) {
  for (std::size_t k = 0; k < Count / 2; ++k) parts[k] += parts[k + Count / 2];
  if constexpr (Count > 2) return sum_of_parts<T, Count / 2>(parts);
  return parts[0];
}

// Lane k of the result is the sum of the lanes of rows[k], taken as a tree: halves, quarters, ...
template <class T, int Block, std::size_t... Lane>
inline Vec<T> fold(Vec<T> a, Vec<T> b, Indices<Lane...>) {
  constexpr int lanes = kLanes<T>;
  return __builtin_shufflevector(a, b, (Lane & Block ? lanes + Lane : Lane)...) +
         __builtin_shufflevector(a, b, (Lane & Block ? lanes + (Lane ^ Block) : Lane ^ Block)...);
}

template <class T, int Block = kLanes<T> / 2>
inline Vec<T> sums_of_lanes(Vec<T> (&rows)[kLanes<T>]) {
  for (int k = 0; k < Block; ++k) rows[k] = fold<T, Block>(rows[k], rows[k + Block], LaneIndices<T>{});
  if constexpr (Block > 1) return sums_of_lanes<T, Block / 2>(rows);
  return rows[0];
}

}  // namespace
}  // namespace chainrule
