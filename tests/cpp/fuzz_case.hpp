// One random case of a kernel: its matrices, what should become of them, and a run on each instruction set.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "naive.hpp"

namespace chainrule::test {

inline constexpr double kAnything = std::numeric_limits<double>::infinity();

// What a slope by differences is good to, in tolerances.
template <class T>
constexpr double kDifferences = 1e-9 / kTolerance<T>;

// The case that is tried, for messages; and how many went wrong.
struct Trial {
  std::uint64_t seed = 0, number = 0;
  std::string what;
  std::size_t failures = 0;

  void fail(const char* isa, const std::string& how) {
    if (++failures > 20) return;
    std::fprintf(stderr, "fuzz_kernels 0 %llu %llu: %s, %s: %s\n", static_cast<unsigned long long>(seed),
                 static_cast<unsigned long long>(number), what.c_str(), isa, how.c_str());
  }
};

// A number that a kernel should store, to within `scale` times the tolerance: 0 for its bits, infinity for
// anything.
struct Expected {
  double value;
  double scale;
};

// Each kernel's case is in the file of its kind: fuzz_products.cpp, fuzz_elements.cpp, fuzz_updates.cpp.
template <class T>
class Case {
 public:
  Case(Trial& trial, Philox& random) : trial_(trial), random_(random) {}

  void affine();
  void backward_input();
  void backward_weights();
  void descend();
  void sparse();

  void activations();
  void softmax();
  void loss();
  void magnitude();
  void all_finite();
  void noise();

  void update();
  void penalized_update();
  void regularize();
  void limit_columns();
  void penalty();

 private:
  using Run = std::function<std::vector<T>(const Kernels<T>&)>;

  // Runs a kernel of every instruction set; it returns all that it may have written.
  void compare(const std::vector<Expected>& expected, const Run& run, bool same_bits = true) {
    std::vector<T> fused;
    for (const KernelSet* set : runnable_kernel_sets()) {
      const std::vector<T> found = run(table<T>(*set));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        if (!fits(found[i], expected[i])) {
          trial_.fail(set->isa, "number " + std::to_string(i) + " is " + std::to_string(found[i]) +
                                    ", expected " + std::to_string(expected[i].value));
          break;
        }
      }
      if (!same_bits || std::strcmp(set->isa, "x86-64-v2") == 0) continue;  // which has no fused multiply-add
      if (fused.empty()) fused = found;
      if (std::memcmp(fused.data(), found.data(), found.size() * sizeof(T)) != 0)
        trial_.fail(set->isa, "other bits than the widest vectors");
    }
  }

  static bool fits(T found, const Expected& expected) {
    if (expected.scale == kAnything) return true;
    const auto value = static_cast<double>(found);
    if (static_cast<double>(static_cast<T>(expected.value)) == value) return true;
    return std::abs(value - expected.value) <= kTolerance<T> * expected.scale;
  }

  // Mostly small, at times of several panels and blocks.
  std::size_t size(std::size_t most = 70) {
    const std::size_t limit = random_.below(12) == 0 ? 4 * most : random_.below(3) == 0 ? 8 : most;
    return 1 + random_.below(limit);
  }
  double number(double least, double most) { return least + (most - least) * uniform(random_); }
  bool coin() { return random_.below(2) == 0; }
  template <class Choice>
  Choice one_of(std::initializer_list<Choice> choices) {
    return choices.begin()[random_.below(choices.size())];
  }
  // Anyone's rows.
  Matrix<T> input(std::size_t rows, std::size_t columns) {
    return {random_, rows, columns, columns + random_.below(9)};
  }
  // Rows as activations and deltas have them.
  Matrix<T> internal(std::size_t rows, std::size_t columns) { return {random_, rows, columns}; }
  Matrix<T> packed(std::size_t rows, std::size_t columns) { return {random_, rows, columns, columns}; }

  Activation activation() { return static_cast<Activation>(random_.below(std::size(kActivationNames) - 1)); }

  void describe(const char* name, std::initializer_list<std::size_t> sizes, const std::string& more = "") {
    trial_.what = std::string(name) + (sizeof(T) == 4 ? " float32" : " float64");
    for (const std::size_t each : sizes) trial_.what.append(" ").append(std::to_string(each));
    if (!more.empty()) trial_.what.append(" ").append(more);
  }

  // All of a matrix, margins included.
  static std::vector<T> all(const Matrix<T>& matrix) {
    return {matrix.data.data(), matrix.data.data() + matrix.data.size()};
  }
  static void append(std::vector<T>& to, const std::vector<T>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }
  // What should become of a matrix: number(i, j) of its elements, nothing of its margins.
  template <class Number>
  static std::vector<Expected> expect(Matrix<T>& matrix, Number number) {
    std::vector<Expected> expected;
    for (std::size_t i = 0; i < matrix.rows; ++i) {
      for (std::size_t j = 0; j < static_cast<std::size_t>(matrix.stride); ++j)
        expected.push_back(j < matrix.columns ? number(i, j) : Expected{kMargin, 0});
    }
    return expected;
  }

  Optimizer optimizer() {
    Optimizer of{static_cast<Rule>(random_.below(std::size(kRuleNames))), number(1e-4, 0.5)};
    of.momentum = coin() ? 0 : number(0.1, 0.99);
    of.nesterov = of.momentum != 0 && coin();
    of.beta1 = number(0, 0.99), of.beta2 = number(0.5, 0.9999), of.rho = number(0.5, 0.999);
    of.epsilon = number(1e-8, 1e-2), of.epsilon_hat = coin();
    of.weight_decay = coin() ? 0 : number(0, 0.1);
    return of;
  }

  // Returns the first, having compared both.
  std::vector<T> same(const std::vector<std::vector<T>>& one, const std::vector<std::vector<T>>& other) {
    std::vector<T> joined, joined_other;
    for (const auto& part : one) append(joined, part);
    for (const auto& part : other) append(joined_other, part);
    if (joined.size() != joined_other.size() ||
        std::memcmp(joined.data(), joined_other.data(), joined.size() * sizeof(T)) != 0)
      trial_.fail("some", "in one kernel or in two gives different bits");
    return joined;
  }

  template <class Product>
  void affine_end(std::size_t rows, std::size_t fan_out, Product product);
  Activation output_of(Loss kind);

  Trial& trial_;
  Philox& random_;
};

}  // namespace chainrule::test
