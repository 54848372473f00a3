// The kernels' numbers in plain loops and doubles, and matrices with margins that have to stay.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "chainrule/buffer.hpp"
#include "chainrule/dispatch.hpp"
#include "chainrule/random.hpp"
#include "problem.hpp"

namespace chainrule::test {

inline constexpr double kMargin = -77;  // what lies beside a matrix, and must stay

template <class T>
constexpr double kTolerance = sizeof(T) == 4 ? 1e-5 : 1e-14;

template <class T>
const Kernels<T>& table(const KernelSet& set) {
  if constexpr (sizeof(T) == 4) {
    return set.f32;
  } else {
    return set.f64;
  }
}

// A matrix of random numbers in [-1, 1), with kMargin in each row beyond its columns.
template <class T>
struct Matrix {
  std::size_t rows, columns;
  std::ptrdiff_t stride;
  Buffer<T> data;

  Matrix(Philox& random, std::size_t rows, std::size_t columns, std::size_t stride)
      : rows(rows), columns(columns), stride(static_cast<std::ptrdiff_t>(stride)), data(rows * stride) {
    for (std::size_t i = 0; i < data.size(); ++i) data.data()[i] = static_cast<T>(kMargin);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) at(i, j) = static_cast<T>(2 * uniform(random) - 1);
    }
  }
  // Of padded rows, as activations and deltas are.
  Matrix(Philox& random, std::size_t rows, std::size_t columns)
      : Matrix(random, rows, columns, row_stride<T>(columns)) {}

  T* operator*() { return data.data(); }
  const T* operator*() const { return data.data(); }
  T& at(std::size_t i, std::size_t j) {
    return data.data()[static_cast<std::ptrdiff_t>(i) * stride + static_cast<std::ptrdiff_t>(j)];
  }
  double operator()(std::size_t i, std::size_t j) { return static_cast<double>(at(i, j)); }

  bool margin_is_kept() {
    for (std::size_t i = 0; i < rows; ++i) {
      for (auto j = columns; j < static_cast<std::size_t>(stride); ++j) {
        if (at(i, j) != static_cast<T>(kMargin)) return false;
      }
    }
    return true;
  }
};

template <class T>
Matrix<T> copy_of(Matrix<T>& from) {
  Philox random(0, 0);
  Matrix<T> to(random, from.rows, from.columns, static_cast<std::size_t>(from.stride));
  for (std::size_t i = 0; i < from.data.size(); ++i) to.data.data()[i] = from.data.data()[i];
  return to;
}

inline double softplus(double h) { return std::max(h, 0.0) + std::log1p(std::exp(-std::abs(h))); }

inline double activation_value(Activation activation, double h) {
  const double selu_scale = 1.0507009873554805, selu_alpha = 1.6732632423543772;
  switch (activation) {
    case Activation::identity:
    case Activation::softmax:
      return h;
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-h));
    case Activation::hard_sigmoid:
      return std::clamp(h / 6 + 0.5, 0.0, 1.0);
    case Activation::tanh:
      return std::tanh(h);
    case Activation::relu:
      return h > 0 ? h : 0;
    case Activation::leaky_relu:
      return h > 0 ? h : 0.01 * h;
    case Activation::elu:
      return h > 0 ? h : std::expm1(h);
    case Activation::selu:
      return selu_scale * (h > 0 ? h : selu_alpha * std::expm1(h));
    case Activation::gelu:
      return h * std::erfc(-h / std::sqrt(2.0)) / 2;
    case Activation::gelu_tanh:
      return h * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (h + 0.044715 * h * h * h))) / 2;
    case Activation::silu:
      return h / (1 + std::exp(-h));
    case Activation::mish:
      return h * std::tanh(softplus(h));
    case Activation::softplus:
      return softplus(h);
    case Activation::softsign:
      return h / (1 + std::abs(h));
    case Activation::exp:
      return std::exp(h);
  }
  return h;
}

// By central differences, good to some 1e-9; the kernels have hand-derived formulas.
inline double activation_slope(Activation activation, double h) {
  const auto value = [activation](double x) { return activation_value(activation, x); };
  const double step = 1e-4;
  return (8 * (value(h + step) - value(h - step)) - (value(h + 2 * step) - value(h - 2 * step))) /
         (12 * step);
}

// Whether a derivative by differences would be taken across a kink.
inline bool near_kink(Activation activation, double h) {
  if (activation == Activation::hard_sigmoid) return std::abs(std::abs(h) - 3) < 1e-3;
  return std::abs(h) < 1e-3;
}

}  // namespace chainrule::test
