// Activations and their derivatives. The derivative is taken from the activation's own output.

namespace chainrule {
namespace {

inline float exp(float x) { return __builtin_expf(x); }
inline double exp(double x) { return __builtin_exp(x); }
inline float tanh(float x) { return __builtin_tanhf(x); }
inline double tanh(double x) { return __builtin_tanh(x); }
inline float log(float x) { return __builtin_logf(x); }
inline double log(double x) { return __builtin_log(x); }
inline float log1p(float x) { return __builtin_log1pf(x); }
inline double log1p(double x) { return __builtin_log1p(x); }

template <class T>
T sigmoid(T x) {
  return 1 / (1 + exp(-x));  // exp overflows to infinity for very negative x, and the result is 0
}

template <class T>
T relu(T x) {
  return x < 0 ? T(0) : x;  // passes NaN on
}

template <class T>
void softmax(T* a, const T* h, std::size_t columns) {
  T largest = h[0];
  for (std::size_t j = 1; j < columns; ++j) largest = h[j] > largest ? h[j] : largest;
  T sum = 0;
  for (std::size_t j = 0; j < columns; ++j) sum += a[j] = exp(h[j] - largest);
  for (std::size_t j = 0; j < columns; ++j) a[j] /= sum;
}

// dL/dh_j = a_j (dL/da_j - sum_k a_k dL/da_k): the product with the softmax's Jacobian.
template <class T>
void softmax_backward(T* delta, const T* a, std::size_t columns) {
  T mean = 0;
  for (std::size_t j = 0; j < columns; ++j) mean = multiply_add(a[j], delta[j], mean);
  for (std::size_t j = 0; j < columns; ++j) delta[j] = a[j] * (delta[j] - mean);
}

template <class T>
void activate_row(Activation activation, T* a, const T* h, std::size_t columns) {
  switch (activation) {
    case Activation::identity:
      for (std::size_t j = 0; j < columns; ++j) a[j] = h[j];
      break;
    case Activation::sigmoid:
      for (std::size_t j = 0; j < columns; ++j) a[j] = sigmoid(h[j]);
      break;
    case Activation::tanh:
      for (std::size_t j = 0; j < columns; ++j) a[j] = tanh(h[j]);
      break;
    case Activation::relu:
      for (std::size_t j = 0; j < columns; ++j) a[j] = relu(h[j]);
      break;
    case Activation::softmax:
      softmax(a, h, columns);
      break;
  }
}

template <class T>
void activate(Activation activation, T* a, std::ptrdiff_t a_stride, const T* h, std::ptrdiff_t h_stride,
              std::size_t rows, std::size_t columns) {
  if (activation == Activation::identity && a == h) return;
  for (std::size_t i = 0; i < rows; ++i, a += a_stride, h += h_stride)
    activate_row(activation, a, h, columns);
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
