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

#if defined(__AVX512F__)

inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm512_fmadd_pd(a, b, c);
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
inline void store_first(float* to, Vec<float> v, std::size_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane), v);
}
inline void store_first(double* to, Vec<double> v, std::size_t count) {
  const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
  _mm256_maskstore_pd(to, _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(count)), lane), v);
}

#else

#if defined(__aarch64__)
inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return vfmaq_f32(c, a, b); }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) { return vfmaq_f64(c, a, b); }
#else
inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
#endif
template <class T>
inline void store_first(T* to, Vec<T> v, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] = v[i];
}

#endif

}  // namespace
}  // namespace chainrule
