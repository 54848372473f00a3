// The losses, a row at a time: its value, and its derivative with respect to the logits.
// log_loss and cross_entropy are taken from the logits, so that they stay finite where a probability rounds
// to 0 or 1.

namespace chainrule {
namespace {

inline float exp(float x) { return __builtin_expf(x); }
inline double exp(double x) { return __builtin_exp(x); }
inline float log(float x) { return __builtin_logf(x); }
inline double log(double x) { return __builtin_log(x); }
inline float log1p(float x) { return __builtin_log1pf(x); }
inline double log1p(double x) { return __builtin_log1p(x); }

// One row: outputs yhat = activation(logits), and targets as values or, where they are null, a class index.
template <class T>
struct LossRow {
  const T* logits;
  const T* yhat;
  const T* values;
  std::int32_t label;
  std::size_t outputs;
};

// factor * sum_j (yhat_j - y_j)^2
template <class T>
T squared_error(T* delta, const LossRow<T>& row, Activation output, T factor) {
  T loss = 0;
  for (std::size_t j = 0; j < row.outputs; ++j) {
    const T difference = row.yhat[j] - row.values[j];
    loss = multiply_add(factor * difference, difference, loss);
    if (delta != nullptr) delta[j] = 2 * factor * difference;
  }
  if (delta != nullptr) activation_backward_row(output, delta, row.yhat, row.outputs);
  return loss;
}

// -sum_j (y_j log yhat_j + (1 - y_j) log(1 - yhat_j)), yhat = sigmoid(o): sum_j max(o, 0) - o y + log(1 +
// exp(-|o|)).
template <class T>
T log_loss(T* delta, const LossRow<T>& row) {
  T loss = 0;
  for (std::size_t j = 0; j < row.outputs; ++j) {
    const T logit = row.logits[j];
    const T magnitude = logit < 0 ? -logit : logit;
    loss += (logit + magnitude) / 2 - logit * row.values[j] + log1p(exp(-magnitude));
    if (delta != nullptr) delta[j] = row.yhat[j] - row.values[j];
  }
  return loss;
}

// -sum_j y_j log yhat_j, yhat = softmax(o): sum_j y_j (log sum_k exp(o_k) - o_j).
template <class T>
T cross_entropy(T* delta, const LossRow<T>& row) {
  std::size_t top = 0;
  for (std::size_t j = 1; j < row.outputs; ++j) top = row.logits[j] > row.logits[top] ? j : top;
  // log yhat_j, where yhat_top = 1 / sum_k exp(o_k - o_top), for the softmax has taken that sum already
  const T log_top = log(row.yhat[top]);
  const auto log_yhat = [&](std::size_t j) { return log_top + (row.logits[j] - row.logits[top]); };
  if (row.values == nullptr) {
    if (delta != nullptr) {
      for (std::size_t j = 0; j < row.outputs; ++j) delta[j] = row.yhat[j];
      delta[row.label] -= 1;
    }
    return -log_yhat(static_cast<std::size_t>(row.label));
  }
  T loss = 0, total = 0;
  for (std::size_t j = 0; j < row.outputs; ++j) {
    loss -= row.values[j] * log_yhat(j);
    total += row.values[j];
  }
  if (delta == nullptr) return loss;
  for (std::size_t j = 0; j < row.outputs; ++j) delta[j] = row.yhat[j] * total - row.values[j];
  return loss;
}

template <class T>
T row_loss(Loss loss, Activation output, T* delta, const LossRow<T>& row) {
  switch (loss) {
    case Loss::squared_error:
      return squared_error(delta, row, output, T(1));
    case Loss::half_squared_error:
      return squared_error(delta, row, output, T(0.5));
    case Loss::log_loss:
      return log_loss(delta, row);
    case Loss::cross_entropy:
      break;
  }
  return cross_entropy(delta, row);
}

template <class T>
double loss(Loss loss, Activation output, T* delta, std::ptrdiff_t delta_stride, const T* logits,
            std::ptrdiff_t logits_stride, const T* yhat, std::ptrdiff_t yhat_stride, Targets<T> targets,
            double scale, std::size_t rows, std::size_t outputs) {
  double total = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto step = static_cast<std::ptrdiff_t>(i);
    const LossRow<T> row{logits + step * logits_stride, yhat + step * yhat_stride,
                         targets.values == nullptr ? nullptr : targets.values + step * targets.stride,
                         targets.labels == nullptr ? 0 : targets.labels[i], outputs};
    T* row_delta = delta == nullptr ? nullptr : delta + step * delta_stride;
    const double weight = targets.weights == nullptr ? 1.0 : static_cast<double>(targets.weights[i]);
    total += weight * static_cast<double>(row_loss(loss, output, row_delta, row));
    if (row_delta == nullptr) continue;
    const T factor = static_cast<T>(scale * weight);
    for (std::size_t j = 0; j < outputs; ++j) row_delta[j] *= factor;
  }
  return total;
}

}  // namespace
}  // namespace chainrule
