// Random cases of activations, losses, noise and what is summed over elements.
#include "fuzz_case.hpp"
#include "naive_losses.hpp"

namespace chainrule::test {

template <class T>
void Case<T>::activations() {
  const std::size_t rows = size(9), columns = size();
  const Activation function = activation();
  const double reach = one_of({1.0, 8.0, 20.0, 60.0});
  describe("activate", {rows, columns}, kActivationNames[static_cast<int>(function)]);
  Matrix<T> h = internal(rows, columns), da = internal(rows, columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) h.at(i, j) *= static_cast<T>(reach);
  }
  const auto value = [&](std::size_t i, std::size_t j) {
    const double a = activation_value(function, h(i, j));
    return Expected{a, std::max(1.0, std::abs(a))};
  };
  const double rounds = std::max(4.0, kDifferences<T>);
  const auto slope = [&](std::size_t i, std::size_t j) {
    if (near_kink(function, h(i, j))) return Expected{0, kAnything};
    return Expected{activation_slope(function, h(i, j)), rounds * value(i, j).scale};
  };
  std::vector<Expected> expected = expect(h, value);
  for (int twice = 0; twice < 2; ++twice) {
    const auto more = twice == 0 ? expect(h, slope) : expect(h, [&](std::size_t i, std::size_t j) {
      const Expected of = slope(i, j);
      return Expected{of.value * da(i, j), of.scale};
    });
    expected.insert(expected.end(), more.begin(), more.end());
  }
  compare(expected, [&](const Kernels<T>& kernels) {
    Matrix<T> a = copy_of(h), kept = copy_of(h), slopes = copy_of(h), delta = copy_of(da);
    kernels.activate(function, *a, a.stride, *h, h.stride, rows, columns);
    kernels.activate_keeping_slopes(function, *kept, *slopes, kept.stride, rows, columns, {});
    const bool needed = keeps_slopes(function);
    kernels.activation_backward(function, *delta, delta.stride, needed ? *slopes : *a, a.stride, rows,
                                columns, needed);
    std::vector<T> found = same({all(a)}, {all(kept)});
    append(found, all(slopes));
    append(found, all(delta));
    return found;
  });
}

template <class T>
void Case<T>::softmax() {
  const std::size_t rows = size(40), columns = size();
  const double reach = one_of({1.0, 30.0, 1000.0});
  describe("softmax", {rows, columns});
  Matrix<T> h = internal(rows, columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) h.at(i, j) *= static_cast<T>(reach);
  }
  const std::vector<double> yhat = naive_softmax(h);
  compare(expect(h, [&](std::size_t i, std::size_t j) { return Expected{yhat[i * columns + j], 1}; }),
          [&](const Kernels<T>& kernels) {
            Matrix<T> a = copy_of(h);
            kernels.activate(Activation::softmax, *a, a.stride, *h, h.stride, rows, columns);
            return all(a);
          });
}

template <class T>
void Case<T>::loss() {
  const std::size_t rows = size(40);
  std::size_t outputs = size(20);
  const auto kind = static_cast<Loss>(random_.below(std::size(kLossNames)));
  std::vector<double> constants;
  if (kind == Loss::huber) constants = {number(0.1, 2)};
  if (kind == Loss::quantile) constants.assign(1 + random_.below(3), number(0.1, 0.9));
  if (kind == Loss::cross_entropy && coin()) constants = {number(0, 0.5)};
  const LossRule rule{kind, constants.data(), constants.size()};
  outputs *= rule.outputs_per_target();
  const Activation output = output_of(kind);
  const bool classes = kind == Loss::cross_entropy && coin(), weighted = coin(),
             stores = random_.below(4) != 0;
  describe(
      "loss", {rows, outputs},
      std::string(kLossNames[static_cast<int>(kind)]) + " " + kActivationNames[static_cast<int>(output)]);
  Matrix<T> h = internal(rows, outputs), y = input(rows, outputs / rule.outputs_per_target());
  Matrix<T> delta = internal(rows, outputs), weights = packed(1, rows);
  std::vector<std::int32_t> labels(rows);
  const T reach = static_cast<T>(one_of({1.0, 4.0}));
  for (std::size_t i = 0; i < rows; ++i) {
    labels[i] = static_cast<std::int32_t>(random_.below(outputs));
    weights.at(0, i) = std::abs(weights.at(0, i));
    for (std::size_t j = 0; j < outputs; ++j) h.at(i, j) *= reach;
  }
  const double scale = number(0.01, 2);
  const NaiveLoss<T> naive{rule, output, h, y, classes ? labels.data() : nullptr};
  double total = 0, total_scale = 1;
  const double rounds = std::max(30.0, 10 * kDifferences<T>);
  std::vector<Expected> expected = expect(delta, [&](std::size_t i, std::size_t j) {
    if (!stores) return Expected{delta(i, j), 0};
    const double factor = scale * (weighted ? weights(0, i) : 1);
    const double value = factor * naive.slope(i, j);
    return Expected{value, naive.is_near_kink(i, j) ? kAnything : rounds * (1 + std::abs(value))};
  });
  for (std::size_t i = 0; i < rows; ++i) {
    const double weight = weighted ? weights(0, i) : 1, of_row = naive.loss(i);
    total += weight * of_row;
    total_scale += 10 * weight * (1 + std::abs(of_row)) * static_cast<double>(outputs);
  }
  expected.push_back({total, total_scale});
  compare(expected, [&](const Kernels<T>& kernels) {
    Matrix<T> to = copy_of(delta);
    Buffer<T> scratch(loss_scratch<T>(outputs));
    const Targets<T> targets{classes ? nullptr : *y, y.stride, classes ? labels.data() : nullptr,
                             weighted ? *weights : nullptr};
    const double found = kernels.loss(rule, output, stores ? *to : nullptr, to.stride, *h, h.stride, targets,
                                      scale, rows, outputs, scratch.data());
    std::vector<T> numbers = all(to);
    numbers.push_back(static_cast<T>(found));
    return numbers;
  });
}

template <class T>
Activation Case<T>::output_of(Loss kind) {
  if (kind == Loss::poisson) return Activation::exp;
  if (kind == Loss::log_loss) return Activation::sigmoid;
  if (kind == Loss::cross_entropy) return Activation::softmax;
  return random_.below(5) == 0 ? Activation::softmax : activation();
}

template <class T>
void Case<T>::magnitude() {
  const std::size_t rows = size(20), columns = size();
  Matrix<T> x = input(rows, columns);
  describe("magnitude", {rows, columns});
  long double exact = 0;  // the roundings of thousands of additions of doubles come to the tolerance
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) exact += std::abs(x(i, j));
  }
  const auto sum = static_cast<double>(exact);
  compare(
      {{sum, 1 + sum}},
      [&](const Kernels<T>& kernels) {
        return std::vector<T>{kernels.magnitude(*x, x.stride, rows, columns)};
      },
      false);
}

template <class T>
void Case<T>::all_finite() {
  const std::size_t count = size(300);
  Matrix<T> x = packed(1, count);
  const bool finite = coin();
  using Limits = std::numeric_limits<T>;
  if (!finite)
    x.at(0, random_.below(count)) = one_of({Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()});
  describe("all_finite", {count}, finite ? "finite" : "not");
  compare({{finite ? 1.0 : 0.0, 0}}, [&](const Kernels<T>& kernels) {
    return std::vector<T>{static_cast<T>(kernels.all_finite(*x, count))};
  });
}

// No twin: every instruction set draws the same numbers, but for rounding.
template <class T>
void Case<T>::noise() {
  const std::size_t rows = size(20), columns = size(), first = random_.below(300);
  const DrawKeys keys{static_cast<std::uint32_t>(random_.next()), static_cast<std::uint32_t>(random_.next())};
  Matrix<T> x = input(rows, columns), y = internal(rows, columns);
  const double deviation = number(0, 2);
  describe("add_noise", {rows, columns});
  const Run run = [&](const Kernels<T>& kernels) {
    Matrix<T> to = copy_of(y);
    kernels.add_noise(*to, to.stride, *x, x.stride, deviation, keys, first, rows, columns);
    return all(to);
  };
  std::vector<Expected> expected;
  for (const T each : run(table<T>(*runnable_kernel_sets().back()))) expected.push_back({double(each), 20});
  compare(expected, run);
}

#define CHAINRULE_INSTANTIATE(T)        \
  template void Case<T>::activations(); \
  template void Case<T>::softmax();     \
  template void Case<T>::loss();        \
  template void Case<T>::magnitude();   \
  template void Case<T>::all_finite();  \
  template void Case<T>::noise();
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule::test
