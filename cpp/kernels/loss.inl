// The output layer's end: its activation, the loss, and the loss's derivative with respect to the logits. One
// struct a loss, listed in chainrule/config.hpp. One row of the minibatch a lane, so that sums over outputs
// need no sums over lanes and every width of vector gives the same bits. poisson, log_loss and cross_entropy
// are taken from the logits, so that they stay finite where a probability rounds to 0 or 1.

namespace chainrule {
namespace {

// A vector of rows: output j of all of them at `logits + j * stride`, and so on. Targets are values or, where
// they are null, class indices as numbers. Where it is not null, delta becomes the derivatives times `scale`;
// yhat has room for the outputs.
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
  LossRule rule;

  Vec<T> logit(std::size_t j) const { return load(logits + j * stride); }
  Vec<T> target(std::size_t j) const {
    if (values != nullptr) return load(values + j / rule.outputs_per_target() * stride);
    return select<T>(labels == static_cast<T>(j), broadcast(T(1)), Vec<T>{});
  }
  Vec<T> constant(std::size_t j) const { return broadcast(static_cast<T>(rule.constants[j % rule.count])); }
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

// The outputs and, where delta is wanted, in its place their slopes; for the softmax ones.
template <class T>
CHAINRULE_INLINE void output_lanes(Activation output, const LossLanes<T>& rows) {
  if (output == Activation::softmax) {
    Vec<T> top;
    softmax_lanes(rows, top);
    for (std::size_t j = 0; rows.delta != nullptr && j < rows.outputs; ++j)
      store(rows.delta + j * rows.stride, broadcast(T(1)));
    return;
  }
  with_activation<T>(output, [&](auto function) {
    for (std::size_t j = 0; j < rows.outputs; ++j) {
      Vec<T> slope;
      store(rows.yhat + j * rows.stride, decltype(function)::value(rows.logit(j), slope));
      if (rows.delta != nullptr) store(rows.delta + j * rows.stride, slope);
    }
  });
}

// A loss that is a sum over the outputs of `Formula::of(yhat, y, constant, slope)`, any output activation's.
template <class T, class Formula>
struct OfOutputs {
  static CHAINRULE_INLINE Vec<T> lanes(Activation output, const LossLanes<T>& rows) {
    output_lanes(output, rows);
    Vec<T> loss{};
    for (std::size_t j = 0; j < rows.outputs; ++j) {
      Vec<T> slope;
      loss += Formula::of(load(rows.yhat + j * rows.stride), rows.target(j),
                          rows.rule.count == 0 ? Vec<T>{} : rows.constant(j), slope);
      T* delta = rows.delta + j * rows.stride;
      if (rows.delta != nullptr) store(delta, rows.scale * slope * load(delta));
    }
    if (rows.delta != nullptr && output == Activation::softmax) softmax_backward_lanes(rows);
    return loss;
  }
};

template <class T>
struct SquaredError : OfOutputs<T, SquaredError<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> d = yhat - y;
    slope = T(2) * d;
    return d * d;
  }
};

template <class T>
struct HalfSquaredError : OfOutputs<T, HalfSquaredError<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    slope = yhat - y;
    return T(0.5) * slope * slope;
  }
};

// 0 or NaN where x is, else 1 with its sign.
template <class T>
inline Vec<T> sign(Vec<T> x) {
  return select<T>((x > 0) | (x < 0), copy_sign<T>(broadcast(T(1)), x), x);
}

template <class T>
struct AbsoluteError : OfOutputs<T, AbsoluteError<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    slope = sign<T>(yhat - y);
    return magnitude<T>(yhat - y);
  }
};

// d^2 / 2 up to |d| = delta, and a line from there: Huber, 1964.
template <class T>
struct Huber : OfOutputs<T, Huber<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T> delta, Vec<T>& slope) {
    const Vec<T> d = yhat - y, size = magnitude<T>(d), inner = smaller(delta, size);
    slope = copy_sign<T>(inner, d);
    return inner * (size - T(0.5) * inner);
  }
};

// tau e where e = y - yhat is positive, else (tau - 1) e: Koenker and Bassett, 1978.
template <class T>
struct Quantile : OfOutputs<T, Quantile<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T> tau, Vec<T>& slope) {
    const Vec<T> e = y - yhat, factor = select<T>(e > 0, tau, tau - T(1));
    slope = select<T>((e > 0) | (e < 0), -factor, e);
    return factor * e;
  }
};

// log cosh d = |d| + log(1 + e^-2|d|) - log 2
template <class T>
struct LogCosh : OfOutputs<T, LogCosh<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> d = yhat - y, size = magnitude<T>(d);
    slope = tanh<T>(d);
    const Vec<T> bend = log1p_of_fraction<T>(exp<T>(T(-2) * size)) - T(0.693147180559945309417);
    // near 0 the terms cancel: d^2 / 2 - d^4 / 12 + d^6 / 45
    const Vec<T> square = d * d, near = square * (T(0.5) - square * (T(1) / 12 - square / T(45)));
    return select<T>(size < T(sizeof(T) == 4 ? 0.1 : 0.003), near, size + bend);
  }
};

// max(0, 1 - z yhat) with z = 1 for positive targets, -1 for others.
template <class T>
struct Hinge : OfOutputs<T, Hinge<T>> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> z = select<T>(y > 0, broadcast(T(1)), broadcast(T(-1))), left = T(1) - z * yhat;
    slope = select<T>(left > 0, -z, Vec<T>{});
    return larger(Vec<T>{}, left);
  }
};

// yhat - y log yhat with yhat = exp(o): exp(o) - y o.
template <class T>
struct Poisson {
  static Vec<T> lanes(Activation, const LossLanes<T>& rows) {
    Vec<T> loss{};
    for (std::size_t j = 0; j < rows.outputs; ++j) {
      const Vec<T> logit = rows.logit(j), y = rows.target(j), yhat = exp<T>(logit);
      loss += yhat - y * logit;
      if (rows.delta != nullptr) store(rows.delta + j * rows.stride, rows.scale * (yhat - y));
    }
    return loss;
  }
};

// -sum_j (y_j log yhat_j + (1 - y_j) log(1 - yhat_j)), yhat = sigmoid(o): sum_j softplus(o_j) - o_j y_j.
template <class T>
struct LogLoss {
  static Vec<T> lanes(Activation, const LossLanes<T>& rows) {
    Vec<T> loss{};
    for (std::size_t j = 0; j < rows.outputs; ++j) {
      const Vec<T> logit = rows.logit(j), y = rows.target(j), size = magnitude<T>(logit);
      loss += (logit + size) / 2 - logit * y + log1p_of_fraction<T>(exp<T>(-size));
      if (rows.delta != nullptr) store(rows.delta + j * rows.stride, rows.scale * (sigmoid<T>(logit) - y));
    }
    return loss;
  }
};

// -sum_j t_j log yhat_j, yhat = softmax(o): sum_j t_j (log sum_k exp(o_k) - o_j), where t_j takes of each y_j
// the share `smoothing`, and gives it to all classes alike.
template <class T>
struct CrossEntropy {
  static Vec<T> lanes(Activation, const LossLanes<T>& rows) {
    Vec<T> top;
    const Vec<T> log_sum = softmax_lanes(rows, top);
    Vec<T> loss{}, total{};
    for (std::size_t j = 0; j < rows.outputs; ++j) total += rows.target(j);
    const T smoothing = rows.rule.count == 0 ? T(0) : static_cast<T>(rows.rule.constants[0]);
    const Vec<T> alike = total * (smoothing / static_cast<T>(rows.outputs));
    for (std::size_t j = 0; j < rows.outputs; ++j) {
      const Vec<T> t = multiply_add(broadcast(T(1) - smoothing), rows.target(j), alike);
      // a class that is not the row's has no part, however unlikely: 0 * inf is not 0
      loss += select<T>(t == 0, Vec<T>{}, t * (log_sum - (rows.logit(j) - top)));
      if (rows.delta == nullptr) continue;
      const Vec<T> yhat = load(rows.yhat + j * rows.stride);
      store(rows.delta + j * rows.stride, rows.scale * (yhat * total - t));
    }
    return loss;
  }
};

// The loss of each row of the vector.
template <class T>
CHAINRULE_INLINE Vec<T> loss_lanes(Activation output, const LossLanes<T>& rows) {
  switch (rows.rule.loss) {
#define CHAINRULE_CASE(name, formula) \
  case Loss::name:                    \
    return formula<T>::lanes(output, rows);
    CHAINRULE_LOSSES(CHAINRULE_CASE)
#undef CHAINRULE_CASE
  }
  return Vec<T>{};
}

// The same over rows that lie one below the other: each vector of them is transposed into lanes and back.
template <class T>
double loss(LossRule rule, Activation output, T* delta, std::ptrdiff_t delta_stride, const T* logits,
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
        o,     nullptr, {},  yhat, delta == nullptr ? nullptr : d, static_cast<T>(scale) * load(weights),
        lanes, outputs, rule};
    if (targets.labels != nullptr) {
      for (std::size_t i = 0; i < count; ++i) block.labels[i] = static_cast<T>(targets.labels[first + i]);
    } else {
      transpose(y, lanes, lanes, targets.values + offset * targets.stride, targets.stride, count,
                outputs / rule.outputs_per_target());
      block.values = y;
    }
    store(losses, loss_lanes(output, block));
    for (std::size_t i = 0; i < count; ++i)
      total += static_cast<double>(weights[i]) * static_cast<double>(losses[i]);
    if (delta == nullptr) continue;
    transpose(delta + offset * delta_stride, delta_stride, outputs, d, lanes, outputs, count);
  }
  return total;
}

}  // namespace
}  // namespace chainrule
