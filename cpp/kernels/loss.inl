// The output layer's end: its activation, the loss, and the loss's derivative with respect to the logits. One
// struct a loss, listed in chainrule/config.hpp. One row of the minibatch a lane, so that sums over outputs
// need no sums over lanes and every width of vector gives the same bits. poisson, log_loss and cross_entropy
// are taken from the logits, so that they stay finite where a probability rounds to 0 or 1.

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
  LossRule rule;

  Vec<T> logit(std::size_t j) const { return load(logits + j * stride); }
  Vec<T> target(std::size_t j) const {
    if (values != nullptr) return load(values + j / rule.outputs_per_target() * stride);
    return select<T>(labels == static_cast<T>(j), broadcast(T(1)), Vec<T>{});
  }
  Vec<T> constant(std::size_t j) const {
    return rule.count == 0 ? Vec<T>{} : broadcast(static_cast<T>(rule.constants[j % rule.count]));
  }
};

// x, but 0 where the weight is: what a row without weight is, infinite perhaps, has no part in anything.
template <class T>
inline Vec<T> weighed(Vec<T> weight, Vec<T> x) {
  return select<T>(weight == 0, Vec<T>{}, x);
}

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
    store(delta, weighed<T>(rows.scale, load(rows.yhat + j * rows.stride) * (load(delta) - mean)));
  }
}

// What a loss is taken from: each output, each logit, or all of a row. `of` is the loss of one output, and
// `slope` its derivative with respect to what it is taken from.
enum class From { output, logit, row };
template <From Source>
struct LossFrom {
  static constexpr From from = Source;
};

template <class T>
struct SquaredError : LossFrom<From::output> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> d = yhat - y;
    slope = T(2) * d;
    return d * d;
  }
};

template <class T>
struct HalfSquaredError : LossFrom<From::output> {
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
struct AbsoluteError : LossFrom<From::output> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    slope = sign<T>(yhat - y);
    return magnitude<T>(yhat - y);
  }
};

// d^2 / 2 up to |d| = delta, and a line from there: Huber, 1964.
template <class T>
struct Huber : LossFrom<From::output> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T> delta, Vec<T>& slope) {
    const Vec<T> d = yhat - y, size = magnitude<T>(d), inner = smaller(delta, size);
    slope = copy_sign<T>(inner, d);
    return inner * (size - T(0.5) * inner);
  }
};

// tau e where e = y - yhat is positive, else (tau - 1) e: Koenker and Bassett, 1978.
template <class T>
struct Quantile : LossFrom<From::output> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T> tau, Vec<T>& slope) {
    const Vec<T> e = y - yhat, factor = select<T>(e > 0, tau, tau - T(1));
    slope = select<T>((e > 0) | (e < 0), -factor, e);
    return factor * e;
  }
};

// log cosh d = |d| + log(1 + e^-2|d|) - log 2
template <class T>
struct LogCosh : LossFrom<From::output> {
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
struct Hinge : LossFrom<From::output> {
  static Vec<T> of(Vec<T> yhat, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> z = select<T>(y > 0, broadcast(T(1)), broadcast(T(-1))), left = T(1) - z * yhat;
    slope = select<T>(left > 0, -z, Vec<T>{});
    return larger(Vec<T>{}, left);
  }
};

// yhat - y log yhat with yhat = exp(o): exp(o) - y o.
template <class T>
struct Poisson : LossFrom<From::logit> {
  static Vec<T> of(Vec<T> logit, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> yhat = exp<T>(logit);
    slope = yhat - y;
    return yhat - y * logit;
  }
};

// -(y log yhat + (1 - y) log(1 - yhat)), yhat = sigmoid(o): softplus(o) - o y.
template <class T>
struct LogLoss : LossFrom<From::logit> {
  static Vec<T> of(Vec<T> logit, Vec<T> y, Vec<T>, Vec<T>& slope) {
    const Vec<T> size = magnitude<T>(logit);
    slope = sigmoid<T>(logit) - y;
    return larger(Vec<T>{}, logit) - logit * y + log1p_of_fraction<T>(exp<T>(-size));
  }
};

// -sum_j t_j log yhat_j, yhat = softmax(o): sum_j t_j (log sum_k exp(o_k) - o_j), where t_j takes of each y_j
// the share `smoothing`, and gives it to all classes alike.
template <class T>
struct CrossEntropy : LossFrom<From::row> {
  static Vec<T> lanes(const LossLanes<T>& rows) {
    Vec<T> top;
    const Vec<T> log_sum = softmax_lanes(rows, top);
    Vec<T> loss{}, total{};
    for (std::size_t j = 0; j < rows.outputs; ++j) total += rows.target(j);
    const T smoothing = rows.rule.count == 0 ? T(0) : static_cast<T>(rows.rule.constants[0]);
    const Vec<T> alike = total * (smoothing / static_cast<T>(rows.outputs));
    const Vec<T> most = broadcast(static_cast<T>(rows.rule.most));
    for (std::size_t j = 0; j < rows.outputs; ++j) {
      const Vec<T> t = multiply_add(broadcast(T(1) - smoothing), rows.target(j), alike);
      const Vec<T> of_class = smaller(most, log_sum - (rows.logit(j) - top));
      // a class that is not the row's has no part, however unlikely: 0 * inf is not 0
      loss += select<T>(t == 0, Vec<T>{}, t * of_class);
      if (rows.delta == nullptr) continue;
      const Vec<T> yhat = load(rows.yhat + j * rows.stride);
      store(rows.delta + j * rows.stride, weighed<T>(rows.scale, rows.scale * (yhat * total - t)));
    }
    return loss;
  }
};

// Calls work with the loss's formula.
template <class T, class Work>
CHAINRULE_INLINE void with_loss(Loss loss, Work work) {
  switch (loss) {
#define CHAINRULE_CASE(name, formula) \
  case Loss::name:                    \
    return work(formula<T>{});
    CHAINRULE_LOSSES(CHAINRULE_CASE)
#undef CHAINRULE_CASE
  }
}

inline From source_of(Loss loss) {
  From from{};
  with_loss<float>(loss, [&](auto formula) { from = decltype(formula)::from; });
  return from;
}

// The loss of one output, and delta = scale dL/do. Activation and loss are chosen one after the other, with
// all between them in registers: a step of a tiny net waits for this, and code for each pair would be large.
template <class T>
CHAINRULE_INLINE Vec<T> loss_of_output(const LossRule& rule, Activation output, Vec<T> logit, Vec<T> y,
                                       Vec<T> constant, Vec<T> scale, Vec<T>& delta) {
  Vec<T> yhat{}, inner{}, slope{}, loss_of_it{};
  if (source_of(rule.loss) == From::logit) output = Activation::identity;
  with_activation<T>(output, [&](auto function) __attribute__((always_inline)) {
    yhat = decltype(function)::value(logit, inner);
  });
  with_loss<T>(rule.loss, [&](auto formula) __attribute__((always_inline)) {
    if constexpr (decltype(formula)::from != From::row)
      loss_of_it = decltype(formula)::of(yhat, y, constant, slope);
  });
  delta = weighed<T>(scale, scale * slope * inner);
  return smaller(broadcast(static_cast<T>(rule.most)), loss_of_it);
}

// The loss of each row of the vector.
template <class T>
Vec<T> loss_lanes(Activation output, const LossLanes<T>& rows) {
  const From from = source_of(rows.rule.loss);
  if (from == From::row) return CrossEntropy<T>::lanes(rows);
  const bool softmax = from == From::output && output == Activation::softmax;
  Vec<T> loss{}, top;
  if (softmax) softmax_lanes(rows, top);
  const T* outputs = softmax ? rows.yhat : rows.logits;
  for (std::size_t j = 0; j < rows.outputs; ++j) {
    Vec<T> delta;
    loss += loss_of_output<T>(rows.rule, output, load(outputs + j * rows.stride), rows.target(j),
                              rows.constant(j), rows.scale, delta);
    if (rows.delta != nullptr) store(rows.delta + j * rows.stride, delta);
  }
  if (softmax && rows.delta != nullptr) softmax_backward_lanes(rows);
  return loss;
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
    for (std::size_t i = 0; i < count; ++i) {
      if (weights[i] != 0) total += static_cast<double>(weights[i]) * static_cast<double>(losses[i]);
    }
    if (delta == nullptr) continue;
    transpose(delta + offset * delta_stride, delta_stride, outputs, d, lanes, outputs, count);
  }
  return total;
}

}  // namespace
}  // namespace chainrule
