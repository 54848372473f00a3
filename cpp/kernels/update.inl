// Update rules over the flat arenas; the formulas are those of python/chainrule/optimizers.py.

namespace chainrule {
namespace {

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

// The division by the root is a product with its reciprocal: that leaves the processor's one divider to the
// square root. Measured: 9.0 -> 6.8 us for 16384 parameters in the second-level cache.
template <class T>
bool adam(T* __restrict w, const T* __restrict g, T* __restrict m, T* __restrict v,
          const Optimizer& optimizer, std::uint64_t t, std::size_t size) {
  const double steps = static_cast<double>(t);
  const Vec<T> beta1 = broadcast(static_cast<T>(optimizer.beta1)),
               beta2 = broadcast(static_cast<T>(optimizer.beta2));
  const Vec<T> fresh1 = broadcast(static_cast<T>(1 - optimizer.beta1)),
               fresh2 = broadcast(static_cast<T>(1 - optimizer.beta2));
  const Vec<T> rate = broadcast(static_cast<T>(-optimizer.lr / (1 - __builtin_pow(optimizer.beta1, steps))));
  const Vec<T> root_correction =
      broadcast(static_cast<T>(1 / __builtin_sqrt(1 - __builtin_pow(optimizer.beta2, steps))));
  const Vec<T> epsilon = broadcast(static_cast<T>(optimizer.epsilon));
  IntVec<T> overflowed{};
  for (std::size_t i = 0; i < size; i += kLanes<T>) {
    const std::size_t left = size - i;
    const Vec<T> gradient = load_most(g + i, left), before = load_most(w + i, left);
    const Vec<T> mean = multiply_add(beta1, load_most(m + i, left), fresh1 * gradient);
    const Vec<T> square = multiply_add(beta2, load_most(v + i, left), fresh2 * gradient * gradient);
    const Vec<T> root = multiply_add(square_root(square), root_correction, epsilon);
    const Vec<T> next = multiply_add(rate * mean, reciprocal<T>(root), before);
    // beyond the last parameter there is nothing to overflow, but 0 / 0 where epsilon is 0
    const IntVec<T> bad = ~((next - next == 0) & (root - root == 0));
    store_most(m + i, mean, left);
    store_most(v + i, square, left);
    store_most(w + i, select<T>(bad, before, next), left);
    overflowed |= left >= kLanes<T> ? bad : bad & first_lanes<T>(left);
  }
  return !any<T>(overflowed);
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
