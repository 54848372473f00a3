// Penalties, clipping and limits; python/chainrule/regularization.py says in which order and why. Norms are
// taken in double, where the squares of floats cannot overflow, in the same order for every instruction set.

namespace chainrule {
namespace {

template <class T>
void add_penalties(T* __restrict g, const T* __restrict w, const Regularization& settings, std::size_t size) {
  const T l1 = static_cast<T>(settings.l1), l2 = static_cast<T>(settings.l2);
  if (l1 != 0) {
    for (std::size_t i = 0; i < size; ++i) g[i] += w[i] > 0 ? l1 : w[i] < 0 ? -l1 : T(0);
  }
  if (l2 != 0) {
    for (std::size_t i = 0; i < size; ++i) g[i] = multiply_add(l2, w[i], g[i]);
  }
}

template <class T>
double sum_of_squares(const T* x, std::size_t size) {
  constexpr std::size_t lanes = 32;  // several vectors, for each waits for itself alone
  double sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (std::size_t k = 0; k < lanes; ++k)
      sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  }
  for (; i < size; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

template <class T>
double penalty(const T* w, const Regularization& settings, std::size_t weights, std::size_t size) {
  if (!settings.per_weight || settings.l2 == 0) return 0;
  return settings.l2 / 2 * sum_of_squares(w, settings.penalize_biases ? size : weights);
}

template <class T>
void regularize(T* g, const T* w, const Regularization& settings, std::size_t weights, std::size_t size) {
  add_penalties(g, w, settings, settings.penalize_biases ? size : weights);
  if (settings.clip_value != 0) {
    const T most = static_cast<T>(settings.clip_value);
    for (std::size_t i = 0; i < size; ++i) g[i] = g[i] > most ? most : g[i] < -most ? -most : g[i];
  }
  if (settings.clip_norm == 0) return;
  const double length = __builtin_sqrt(sum_of_squares(g, size));
  if (!(length > settings.clip_norm)) return;
  const T factor = static_cast<T>(settings.clip_norm / length);
  for (std::size_t i = 0; i < size; ++i) g[i] *= factor;
}

template <class T>
void limit_columns(T* w, double most, std::size_t fan_in, std::size_t fan_out) {
  constexpr std::size_t together = 8;
  for (std::size_t first = 0; first < fan_out; first += together, w += together) {
    const std::size_t count = fan_out - first < together ? fan_out - first : together;
    double squares[together] = {};
    for (std::size_t i = 0; i < fan_in; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        const double value = static_cast<double>(w[i * fan_out + j]);
        squares[j] += value * value;
      }
    }
    for (std::size_t j = 0; j < count; ++j) {
      if (!(squares[j] > most * most)) continue;
      const T factor = static_cast<T>(most / __builtin_sqrt(squares[j]));
      for (std::size_t i = 0; i < fan_in; ++i) w[i * fan_out + j] *= factor;
    }
  }
}

}  // namespace
}  // namespace chainrule
