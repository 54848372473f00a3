// The losses and their slopes in plain loops and doubles; the formulas are those of cpp/kernels/loss.inl.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "naive.hpp"

namespace chainrule::test {

// The softmax of every row, row-major without margins.
template <class T>
std::vector<double> naive_softmax(Matrix<T>& h) {
  std::vector<double> yhat;
  for (std::size_t i = 0; i < h.rows; ++i) {
    double top = h(i, 0), sum = 0;
    for (std::size_t j = 0; j < h.columns; ++j) top = std::max(top, h(i, j));
    for (std::size_t j = 0; j < h.columns; ++j) sum += std::exp(h(i, j) - top);
    for (std::size_t j = 0; j < h.columns; ++j) yhat.push_back(std::exp(h(i, j) - top) / sum);
  }
  return yhat;
}

// What one output of a row costs, the slope, and how far it is from where that slope jumps.
struct OutputLoss {
  double loss;
  double slope;
  double from_kink = 1;
};

inline OutputLoss naive_loss(Loss loss, double yhat, double y, double constant) {
  const double d = yhat - y, inner = std::min(constant, std::abs(d)), z = y > 0 ? 1 : -1;
  switch (loss) {
    case Loss::squared_error:
      return {d * d, 2 * d};
    case Loss::half_squared_error:
      return {d * d / 2, d};
    case Loss::absolute_error:
      return {std::abs(d), d > 0 ? 1.0 : -1.0, std::abs(d)};
    case Loss::huber:
      return {inner * (std::abs(d) - inner / 2), std::copysign(inner, d)};
    case Loss::quantile:
      return {d < 0 ? -constant * d : (1 - constant) * d, d < 0 ? -constant : 1 - constant, std::abs(d)};
    case Loss::log_cosh:
      return {std::abs(d) + std::log1p(std::exp(-2 * std::abs(d))) - std::log(2.0), std::tanh(d)};
    case Loss::hinge:
      return {std::max(0.0, 1 - z * yhat), z * yhat < 1 ? -z : 0, std::abs(1 - z * yhat)};
    case Loss::poisson:  // of the logit
      return {std::exp(yhat) - y * yhat, std::exp(yhat) - y};
    case Loss::log_loss:  // of the logit
      return {softplus(yhat) - y * yhat, 1 / (1 + std::exp(-yhat)) - y};
    case Loss::cross_entropy:
      break;
  }
  return {0, 0};
}

// The losses of some rows of logits h.
template <class T>
class NaiveLoss {
 public:
  NaiveLoss(LossRule rule, Activation output, Matrix<T>& h, Matrix<T>& y, const std::int32_t* labels)
      : rule_(rule), output_(output), h_(h), y_(y), labels_(labels), yhat_(naive_softmax(h)) {}

  double loss(std::size_t i) const {
    double sum = 0;
    for (std::size_t j = 0; j < h_.columns; ++j) {
      // a logarithm of the softmax that stays finite
      const double log_yhat = std::log(std::max(yhat_[i * h_.columns + j], 1e-300));
      sum += rule_.loss == Loss::cross_entropy ? -smoothed(i, j) * log_yhat : of(i, j).loss;
    }
    return sum;
  }

  // dloss/dh
  double slope(std::size_t i, std::size_t j) const {
    const double yhat = yhat_[i * h_.columns + j];
    if (rule_.loss == Loss::cross_entropy) return yhat * total(i) - smoothed(i, j);
    if (from_logits()) return of(i, j).slope;
    if (output_ != Activation::softmax) return of(i, j).slope * activation_slope(output_, h_(i, j));
    double mean = 0;
    for (std::size_t k = 0; k < h_.columns; ++k) mean += yhat_[i * h_.columns + k] * of(i, k).slope;
    return yhat * (of(i, j).slope - mean);
  }

  // Whether rounding may put a number on the other side of a jump; of a softmax any output moves all.
  bool is_near_kink(std::size_t i, std::size_t j) const {
    const bool softmax = output_ == Activation::softmax;
    for (std::size_t k = softmax ? 0 : j; k < (softmax ? h_.columns : j + 1); ++k) {
      if (rule_.loss != Loss::cross_entropy && of(i, k).from_kink < 1e-3) return true;
    }
    return !softmax && !from_logits() && near_kink(output_, h_(i, j));
  }

 private:
  bool from_logits() const { return rule_.loss == Loss::poisson || rule_.loss == Loss::log_loss; }

  OutputLoss of(std::size_t i, std::size_t j) const {
    const double constant = rule_.count == 0 ? 0 : rule_.constants[j % rule_.count];
    double yhat = h_(i, j);
    if (output_ == Activation::softmax) {
      yhat = yhat_[i * h_.columns + j];
    } else if (!from_logits()) {
      yhat = activation_value(output_, yhat);
    }
    return naive_loss(rule_.loss, yhat, y_(i, j / rule_.outputs_per_target()), constant);
  }

  double target(std::size_t i, std::size_t j) const {
    if (labels_ == nullptr) return y_(i, j);
    return static_cast<std::size_t>(labels_[i]) == j ? 1 : 0;
  }
  double total(std::size_t i) const {
    double sum = 0;
    for (std::size_t j = 0; j < h_.columns; ++j) sum += target(i, j);
    return sum;
  }
  double smoothed(std::size_t i, std::size_t j) const {
    const double smoothing = rule_.count == 0 ? 0 : rule_.constants[0];
    return (1 - smoothing) * target(i, j) + smoothing * total(i) / static_cast<double>(h_.columns);
  }

  LossRule rule_;
  Activation output_;
  Matrix<T>&h_, &y_;
  const std::int32_t* labels_;
  std::vector<double> yhat_;
};

}  // namespace chainrule::test
