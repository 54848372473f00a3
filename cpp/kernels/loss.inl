// The output layer's end: its activation, the loss, and the loss's derivative with respect to the logits.
// One row of the minibatch a lane, so that sums over outputs need no sums over lanes and every width of
// vector gives the same bits. log_loss and cross_entropy are taken from the logits, so that they stay finite
// where a probability rounds to 0 or 1.

namespace chainrule {
namespace {

// A vector of rows: output j of all of them at `logits + j * stride`, and so on. Targets are values or, where
// they are null, class indices as numbers. Where it is not null, delta becomes the derivatives times `scale`;
// yhat has room for the softmax.
template <class T>
struct LossLanes {
  const T* logits;
  const T* values;
  Vec<T> labels;
  T* yhat;
  T* delta;
  Vec<T> scale;
  std::size_t stride;
  std::size_t outputs;

  Vec<T> logit(std::size_t j) const { return load(logits + j * stride); }
  Vec<T> target(std::size_t j) const {
    if (values != nullptr) return load(values + j * stride);
    return select<T>(labels == static_cast<T>(j), broadcast(T(1)), Vec<T>{});
  }
};

// yhat_j = exp(o_j - top) / sum; returns the log of that sum.
template <class T>
inline Vec<T> softmax_lanes(const LossLanes<T>& rows, Vec<T>& top) {
  top = rows.logit(0);
  for (std::size_t j = 1; j < rows.outputs; ++j) {
    top = select<T>(rows.logit(j) > top, rows.logit(j), top);
  }
  Vec<T> sum{};
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    const Vec<T> z = exp<T>(rows.logit(j) - top);
    store(rows.yhat + j * rows.stride, z);
    sum += z;
  }
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    T* yhat = rows.yhat + j * rows.stride;
    store(yhat, load(yhat) / sum);
  }
  return log<T>(sum);
}

// dL/do_j = yhat_j (dL/dyhat_j - sum_k yhat_k dL/dyhat_k): the product with the softmax's Jacobian.
template <class T>
inline void softmax_backward_lanes(const LossLanes<T>& rows) {
  Vec<T> mean{};
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    mean = multiply_add(load(rows.yhat + j * rows.stride), load(rows.delta + j * rows.stride), mean);
  }
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    T* delta = rows.delta + j * rows.stride;
    store(delta, load(rows.yhat + j * rows.stride) * (load(delta) - mean));
  }
}

// factor * sum_j (yhat_j - y_j)^2, with delta times what `slope` makes of dL/dyhat_j and yhat_j.
template <class T, class Value, class Slope>
CHAINRULE_INLINE Vec<T> squared_error(const LossLanes<T>& rows, T factor, Value value, Slope slope) {
  Vec<T> loss{};
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    const Vec<T> yhat = value(j), difference = yhat - rows.target(j);
    loss = multiply_add(factor * difference, difference, loss);
    if (rows.delta == nullptr) continue;
    store(rows.delta + j * rows.stride, slope((2 * factor * rows.scale) * difference, yhat));
  }
  return loss;
}

template <class T>
CHAINRULE_INLINE Vec<T> squared_error(Activation output, const LossLanes<T>& rows, T factor) {
  Vec<T> loss{};
  if (output == Activation::softmax) {
    softmax_lanes(rows, loss);
    loss = squared_error(
        rows, factor, [&](std::size_t j) { return load(rows.yhat + j * rows.stride); },
        [](Vec<T> delta, Vec<T>) { return delta; });
    if (rows.delta != nullptr) softmax_backward_lanes(rows);
    return loss;
  }
  with_activation<T>(output, [&](auto function) __attribute__((always_inline)) {
    using Output = decltype(function);
    loss = squared_error(
        rows, factor, [&](std::size_t j) { return Output::value(rows.logit(j)); },
        [](Vec<T> delta, Vec<T> yhat) { return Output::slope(delta, yhat); });
  });
  return loss;
}

// -sum_j (y_j log yhat_j + (1 - y_j) log(1 - yhat_j)), yhat = sigmoid(o): sum_j max(o, 0) - o y + log(1 +
// exp(-|o|)).
template <class T>
inline Vec<T> log_loss(const LossLanes<T>& rows) {
  Vec<T> loss{};
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    const Vec<T> logit = rows.logit(j), y = rows.target(j);
    const Vec<T> size = magnitude<T>(logit), z = exp<T>(-size), sum = T(1) + z;
    const Vec<T> log_sum = log<T>(sum) + (z - (sum - T(1))) / sum;  // what rounding took from 1 + z
    loss += (logit + size) / 2 - logit * y + log_sum;
    if (rows.delta != nullptr) store(rows.delta + j * rows.stride, rows.scale * (sigmoid<T>(logit) - y));
  }
  return loss;
}

// -sum_j y_j log yhat_j, yhat = softmax(o): sum_j y_j (log sum_k exp(o_k) - o_j).
template <class T>
inline Vec<T> cross_entropy(const LossLanes<T>& rows) {
  Vec<T> top;
  const Vec<T> log_sum = softmax_lanes(rows, top);
  Vec<T> loss{}, total{};
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    const Vec<T> y = rows.target(j);
    // a class that is not the row's has no part, however unlikely: 0 * inf is not 0
    loss += select<T>(y == 0, Vec<T>{}, y * (log_sum - (rows.logit(j) - top)));
    total += y;
  }
  if (rows.delta == nullptr) return loss;
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    const Vec<T> yhat = load(rows.yhat + j * rows.stride);
    store(rows.delta + j * rows.stride, rows.scale * (yhat * total - rows.target(j)));
  }
  return loss;
}

// The loss of each row of the vector.
template <class T>
CHAINRULE_INLINE Vec<T> loss_lanes(Loss loss, Activation output, const LossLanes<T>& rows) {
  switch (loss) {
    case Loss::squared_error:
      return squared_error(output, rows, T(1));
    case Loss::half_squared_error:
      return squared_error(output, rows, T(0.5));
    case Loss::log_loss:
      return log_loss(rows);
    case Loss::cross_entropy:
      break;
  }
  return cross_entropy(rows);
}

// The same over rows that lie one below the other: each vector of them is transposed into lanes and back.
template <class T>
double loss(Loss loss, Activation output, T* delta, std::ptrdiff_t delta_stride, const T* logits,
            std::ptrdiff_t logits_stride, Targets<T> targets, double scale, std::size_t rows,
            std::size_t outputs, T* scratch) {
  constexpr std::size_t lanes = kLanes<T>;
  const std::size_t plane = lanes * outputs;
  T *o = scratch, *y = o + plane, *yhat = y + plane, *d = yhat + plane;
  double total = 0;
  for (std::size_t first = 0; first < rows; first += lanes) {
    const std::size_t count = rows - first < lanes ? rows - first : lanes;
    const auto offset = static_cast<std::ptrdiff_t>(first);
    transpose(o, lanes, lanes, logits + offset * logits_stride, logits_stride, count, outputs);
    T weights[lanes] = {}, losses[lanes];
    for (std::size_t i = 0; i < count; ++i)
      weights[i] = targets.weights == nullptr ? T(1) : targets.weights[first + i];
    LossLanes<T> block{
        o,     nullptr, {}, yhat, delta == nullptr ? nullptr : d, static_cast<T>(scale) * load(weights),
        lanes, outputs};
    if (targets.labels != nullptr) {
      for (std::size_t i = 0; i < count; ++i) block.labels[i] = static_cast<T>(targets.labels[first + i]);
    } else {
      transpose(y, lanes, lanes, targets.values + offset * targets.stride, targets.stride, count, outputs);
      block.values = y;
    }
    store(losses, loss_lanes(loss, output, block));
    for (std::size_t i = 0; i < count; ++i)
      total += static_cast<double>(weights[i]) * static_cast<double>(losses[i]);
    if (delta == nullptr) continue;
    transpose(delta + offset * delta_stride, delta_stride, outputs, d, lanes, outputs, count);
  }
  return total;
}

}  // namespace
}  // namespace chainrule
