// The update rules and what is done to gradients before them, number by number and in doubles; the formulas
// are those of python/chainrule/optimizers.py and python/chainrule/regularization.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "naive.hpp"

namespace chainrule::test {

// A parameter and its state after a step, and by how much rounding may move them: a multiple of the
// tolerance.
struct NaiveStep {
  double parameter;
  double scale;
  double state[2];
  double state_scale;
};

inline NaiveStep naive_adam(const Optimizer& o, double t, double product, double w, double g, double m,
                            double v) {
  m = o.beta1 * m + (1 - o.beta1) * g;
  v = o.beta2 * v + (1 - o.beta2) * g * g;
  const double correction = std::sqrt(1 - std::pow(o.beta2, t));
  const double root = std::sqrt(v) / correction + (o.epsilon_hat ? o.epsilon / correction : o.epsilon);
  double along = m / (1 - std::pow(o.beta1, t)), terms = 2 / (1 - std::pow(o.beta1, t));
  if (o.rule == Rule::nadam) {  // Dozat, 2016
    const auto momentum = [&](double at) {
      return o.beta1 * (1 - 0.5 * std::pow(0.96, at * o.momentum_decay));
    };
    const double now = (1 - momentum(t)) / (1 - product), next = momentum(t + 1);
    along = next / (1 - product * next) * m + now * g;
    terms = 2 * (next / (1 - product * next) + now);
  }
  return {w - o.lr * o.weight_decay * w - o.lr * along / root, 2 + 4 * o.lr * terms / root, {m, v}, 4};
}

// A step size of 0 has not begun.
inline NaiveStep naive_rprop(const Optimizer& o, double w, double g, double size, double before) {
  if (size == 0) size = o.lr;
  const bool turned = g * before < 0, same = g * before > 0;
  size = std::clamp(size * (same ? o.eta_plus : turned ? o.eta_minus : 1), o.step_min, o.step_max);
  if (turned) g = 0;
  return {g == 0 ? w : w - std::copysign(size, g), 4, {size, g}, 4};
}

template <class T>
NaiveStep naive_step(const Update<T>& step, double w, double g, double first, double second) {
  const Optimizer& o = step.optimizer;
  switch (o.rule) {
    case Rule::sgd: {
      const double velocity = o.momentum * first + g;
      if (o.momentum == 0) return {w - o.lr * g, 2, {first, second}, 0};
      return {w - o.lr * (o.nesterov ? o.momentum * velocity + g : velocity), 4, {velocity, second}, 4};
    }
    case Rule::rmsprop: {
      const double square = o.rho * first + (1 - o.rho) * g * g,
                   direction = g / (std::sqrt(square) + o.epsilon);
      const double scale = 4 * (1 + std::abs(direction));
      if (o.momentum == 0) return {w - o.lr * direction, scale, {square, second}, scale};
      const double velocity = o.momentum * second + direction;
      return {w - o.lr * velocity, scale, {square, velocity}, scale};
    }
    case Rule::adagrad: {
      const double sum = first + g * g, move = o.lr * g / (std::sqrt(sum) + o.epsilon);
      return {w - move, 4, {sum, second}, 4};
    }
    case Rule::rprop:
      return naive_rprop(o, w, g, first, second);
    default:
      return naive_adam(o, static_cast<double>(step.t), step.momentum_product, w, g, first, second);
  }
}

// The gradients after penalties and clipping.
template <class T>
std::vector<double> naive_regularize(Matrix<T>& g, Matrix<T>& w, const Regularization& settings,
                                     std::size_t weights) {
  std::vector<double> next;
  double squares = 0;
  for (std::size_t i = 0; i < g.columns; ++i) {
    const bool penalized = settings.penalize_biases || i < weights;
    const double sign = w(0, i) > 0 ? 1 : w(0, i) < 0 ? -1 : 0;
    double value = g(0, i) + (penalized ? settings.l1 * sign + settings.l2 * w(0, i) : 0);
    if (settings.clip_value != 0) value = std::clamp(value, -settings.clip_value, settings.clip_value);
    next.push_back(value);
    squares += value * value;
  }
  if (settings.clip_norm != 0 && std::sqrt(squares) > settings.clip_norm) {
    for (double& value : next) value *= settings.clip_norm / std::sqrt(squares);
  }
  return next;
}

}  // namespace chainrule::test
