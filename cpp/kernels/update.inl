// Update rules over the flat arenas; the formulas are those of python/chainrule/optimizers.py.

namespace chainrule {
namespace {

inline float square_root(float x) { return __builtin_sqrtf(x); }
inline double square_root(double x) { return __builtin_sqrt(x); }

template <class T>
void add_penalty(T* __restrict g, const T* __restrict w, double l2, std::size_t size) {
  const T factor = static_cast<T>(l2);
  for (std::size_t i = 0; i < size; ++i) g[i] = multiply_add(factor, w[i], g[i]);
}

// Replaces w by `next` and returns 0, or keeps w and returns 1 where `next` is not finite.
template <class T>
inline int assign_if_finite(T& w, T next) {
  const bool finite = next - next == 0;
  w = finite ? next : w;
  return !finite;
}

template <class T>
bool sgd(T* __restrict w, const T* __restrict g, T* __restrict velocity, const Optimizer& optimizer,
         std::size_t size) {
  const T lr = static_cast<T>(optimizer.lr);
  const T momentum = static_cast<T>(optimizer.momentum);
  int overflowed = 0;
  if (velocity == nullptr) {
    for (std::size_t i = 0; i < size; ++i)
      overflowed |= assign_if_finite(w[i], multiply_add(-lr, g[i], w[i]));
    return overflowed == 0;
  }
  for (std::size_t i = 0; i < size; ++i) {
    velocity[i] = multiply_add(momentum, velocity[i], g[i]);
    overflowed |= assign_if_finite(w[i], multiply_add(-lr, velocity[i], w[i]));
  }
  return overflowed == 0;
}

template <class T>
bool adam(T* __restrict w, const T* __restrict g, T* __restrict m, T* __restrict v,
          const Optimizer& optimizer, std::uint64_t t, std::size_t size) {
  const double steps = static_cast<double>(t);
  const T beta1 = static_cast<T>(optimizer.beta1), beta2 = static_cast<T>(optimizer.beta2);
  const T rate = static_cast<T>(optimizer.lr / (1 - __builtin_pow(optimizer.beta1, steps)));
  const T root_correction = static_cast<T>(1 / __builtin_sqrt(1 - __builtin_pow(optimizer.beta2, steps)));
  const T epsilon = static_cast<T>(optimizer.epsilon);
  const T fresh1 = static_cast<T>(1 - optimizer.beta1), fresh2 = static_cast<T>(1 - optimizer.beta2);
  int overflowed = 0;
  for (std::size_t i = 0; i < size; ++i) {
    m[i] = multiply_add(beta1, m[i], fresh1 * g[i]);
    v[i] = multiply_add(beta2, v[i], fresh2 * g[i] * g[i]);
    const T root = multiply_add(square_root(v[i]), root_correction, epsilon);
    overflowed |= assign_if_finite(w[i], w[i] - rate * m[i] / root) | !(root - root == 0);
  }
  return overflowed == 0;
}

template <class T>
bool update(T* w, const T* g, const Update<T>& step, std::size_t size) {
  switch (step.optimizer.rule) {
    case Rule::sgd:
      return sgd(w, g, step.optimizer.momentum == 0 ? nullptr : step.slot(0), step.optimizer, size);
    case Rule::adam:
      break;
  }
  return adam(w, g, step.slot(0), step.slot(1), step.optimizer, step.t, size);
}

template <class T>
bool all_finite(const T* x, std::size_t size) {
  int bad = 0;
  for (std::size_t i = 0; i < size; ++i) bad |= !(x[i] - x[i] == 0);
  return bad == 0;
}

}  // namespace
}  // namespace chainrule
