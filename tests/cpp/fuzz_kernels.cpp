// Random shapes, strides, formulas and constants through every kernel, on each instruction set of this
// processor: against plain loops in doubles, and, where both fuse multiply-adds, to the same bits.
//   fuzz_kernels SECONDS [SEED]      tries case after case
//   fuzz_kernels 0 SEED CASE         tries one again
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "chainrule/dataset.hpp"
#include "naive.hpp"
#include "naive_losses.hpp"
#include "naive_updates.hpp"

namespace chainrule::test {
namespace {

constexpr double kAnything = std::numeric_limits<double>::infinity();

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

template <class T>
class Case {
 public:
  Case(Trial& trial, Philox& random) : trial_(trial), random_(random) {}

  void run() {
    using Try = void (Case::*)();
    constexpr Try tries[] = {&Case::affine,        &Case::backward_input, &Case::backward_weights,
                             &Case::activations,   &Case::softmax,        &Case::loss,
                             &Case::update,        &Case::descend,        &Case::regularize,
                             &Case::limit_columns, &Case::magnitude,      &Case::all_finite,
                             &Case::noise};
    (this->*tries[random_.below(std::size(tries))])();
  }

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

  void affine() {
    const std::size_t rows = size(40), fan_in = size(), fan_out = size(), spread = random_.below(3);
    Matrix<T> x = input(rows, fan_in), w(random_, fan_in, fan_out, fan_out + spread), b = packed(1, fan_out);
    Matrix<T> y = coin() ? internal(rows, fan_out) : input(rows, fan_out);
    const bool biased = coin();
    describe("affine", {rows, fan_in, fan_out});
    const auto sum = [&](std::size_t i, std::size_t j) {
      Expected of{biased ? b(0, j) : 0, 1};
      for (std::size_t k = 0; k < fan_in; ++k) {
        of.value += x(i, k) * w(k, j);
        of.scale += std::abs(x(i, k) * w(k, j));
      }
      return of;
    };
    const auto product = [&](const Kernels<T>& kernels, Matrix<T>& to, const ForwardEnd<T>& end) {
      kernels.affine(*to, to.stride, *x, x.stride, *w, fan_out + spread, biased ? *b : nullptr, rows, fan_in,
                     fan_out, end);
    };
    compare(expect(y, sum), [&](const Kernels<T>& kernels) {
      Matrix<T> to = copy_of(y);
      product(kernels, to, {});
      return all(to);
    });
    affine_end(rows, fan_out, product);
  }

  // Its end does what the kernels after it would have done, to the bit.
  template <class Product>
  void affine_end(std::size_t rows, std::size_t fan_out, Product product) {
    Matrix<T> y = internal(rows, fan_out), slopes = copy_of(y);
    const Activation function = activation();
    const double share = coin() ? 0 : number(0, 0.9);
    const bool keeps = keeps_slopes(function) || share != 0;
    const Dropout dropout{
        share, {static_cast<std::uint32_t>(random_.next()), 2}, fan_out + 3, random_.below(9), 3};
    trial_.what += std::string(" ") + kActivationNames[static_cast<int>(function)];
    compare({}, [&](const Kernels<T>& kernels) {
      Matrix<T> together = copy_of(y), apart = copy_of(y), kept = copy_of(slopes),
                kept_apart = copy_of(slopes);
      product(kernels, together, {function, keeps ? *kept : nullptr, dropout});
      product(kernels, apart, {});
      if (keeps) {
        kernels.activate_keeping_slopes(function, *apart, *kept_apart, y.stride, rows, fan_out, dropout);
      } else {
        kernels.activate(function, *apart, y.stride, *apart, y.stride, rows, fan_out);
      }
      return same({all(together), all(kept)}, {all(apart), all(kept_apart)});
    });
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

  void backward_input() {
    const std::size_t rows = size(40), fan_in = size(), fan_out = size();
    Matrix<T> w = packed(fan_in, fan_out), delta = internal(rows, fan_out), dx = internal(rows, fan_in);
    Matrix<T> kept = internal(rows, fan_in);
    const Activation function = activation();
    const bool are_slopes = keeps_slopes(function) || coin();
    describe("backward_input", {rows, fan_in, fan_out}, kActivationNames[static_cast<int>(function)]);
    const auto product = [&](const Kernels<T>& kernels, Matrix<T>& to, const BackwardEnd<T>& end) {
      kernels.backward_input(*to, to.stride, *delta, delta.stride, *w, rows, fan_in, fan_out, end);
    };
    const auto sum = [&](std::size_t i, std::size_t k) {
      Expected of{0, 1};
      for (std::size_t j = 0; j < fan_out; ++j) {
        of.value += delta(i, j) * w(k, j);
        of.scale += std::abs(delta(i, j) * w(k, j));
      }
      return of;
    };
    compare(expect(dx, sum), [&](const Kernels<T>& kernels) {
      Matrix<T> to = copy_of(dx);
      product(kernels, to, {});
      return all(to);
    });
    compare({}, [&](const Kernels<T>& kernels) {
      Matrix<T> together = copy_of(dx), apart = copy_of(dx);
      product(kernels, together, {function, *kept, kept.stride, are_slopes});
      product(kernels, apart, {});
      kernels.activation_backward(function, *apart, dx.stride, *kept, kept.stride, rows, fan_in, are_slopes);
      return same({all(together)}, {all(apart)});
    });
  }

  void backward_weights() {
    // A chunk of rows at most: longer sums are cut where the width of vectors says.
    const std::size_t rows = std::min(size(), kChunkRows), fan_in = size(), fan_out = size();
    Matrix<T> x = input(rows, fan_in), delta = internal(rows, fan_out);
    // A row more than the gradient has: what follows it in the arena must stay.
    Matrix<T> dw = packed(fan_in + 1, fan_out), db = internal(1, fan_out);
    const bool accumulate = coin(), biased = coin();
    describe("backward_weights", {rows, fan_in, fan_out}, accumulate ? "added" : "");
    const auto scale = static_cast<double>(1 + rows);
    std::vector<Expected> expected = expect(dw, [&](std::size_t k, std::size_t j) {
      if (k == fan_in) return Expected{dw(k, j), 0};
      Expected of{accumulate ? dw(k, j) : 0, scale};
      for (std::size_t i = 0; i < rows; ++i) of.value += x(i, k) * delta(i, j);
      return of;
    });
    const std::vector<Expected> of_biases = expect(db, [&](std::size_t, std::size_t j) {
      if (!biased) return Expected{db(0, j), 0};
      Expected of{accumulate ? db(0, j) : 0, scale};
      for (std::size_t i = 0; i < rows; ++i) of.value += delta(i, j);
      return of;
    });
    expected.insert(expected.end(), of_biases.begin(), of_biases.end());
    compare(expected, [&](const Kernels<T>& kernels) {
      Matrix<T> to = copy_of(dw), bias = copy_of(db);
      kernels.backward_weights(*to, biased ? *bias : nullptr, *x, x.stride, *delta, delta.stride, rows,
                               fan_in, fan_out, accumulate);
      std::vector<T> found = all(to);
      append(found, all(bias));
      return found;
    });
  }

  void activations() {
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

  void softmax() {
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

  void loss() {
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
      const double found = kernels.loss(rule, output, stores ? *to : nullptr, to.stride, *h, h.stride,
                                        targets, scale, rows, outputs, scratch.data());
      std::vector<T> numbers = all(to);
      numbers.push_back(static_cast<T>(found));
      return numbers;
    });
  }

  Activation output_of(Loss kind) {
    if (kind == Loss::poisson) return Activation::exp;
    if (kind == Loss::log_loss) return Activation::sigmoid;
    if (kind == Loss::cross_entropy) return Activation::softmax;
    return random_.below(5) == 0 ? Activation::softmax : activation();
  }

  Optimizer optimizer() {
    Optimizer of{static_cast<Rule>(random_.below(std::size(kRuleNames))), number(1e-4, 0.5)};
    of.momentum = coin() ? 0 : number(0.1, 0.99);
    of.nesterov = of.momentum != 0 && coin();
    of.beta1 = number(0, 0.99), of.beta2 = number(0.5, 0.9999), of.rho = number(0.5, 0.999);
    of.epsilon = number(1e-8, 1e-2);
    of.weight_decay = coin() ? 0 : number(0, 0.1);
    return of;
  }

  void update() {
    const std::size_t count = size(300), room = padded<T>(count);
    Matrix<T> w = internal(1, count), g = internal(1, count), state(random_, 2, count, room);
    Update<T> step{optimizer(), nullptr, room, 1 + random_.below(50)};
    step.momentum_product = number(0.1, 0.9);
    describe("update", {count}, kRuleNames[static_cast<int>(step.optimizer.rule)]);
    const bool begins = coin();
    for (std::size_t i = 0; i < count; ++i) {
      if (has_square_first(step.optimizer.rule)) state.at(0, i) = std::abs(state.at(0, i));
      if (!has_square_first(step.optimizer.rule)) state.at(1, i) = std::abs(state.at(1, i));
      if (step.optimizer.rule == Rule::rprop && begins) state.at(0, i) = 0;
    }
    std::vector<Expected> next;
    std::vector<Expected> slots[2];
    for (std::size_t i = 0; i < count; ++i) {
      const NaiveStep moved = naive_step<T>(step, w(0, i), g(0, i), state(0, i), state(1, i));
      next.push_back({moved.parameter, moved.scale});
      for (int slot : {0, 1}) slots[slot].push_back({moved.state[slot], moved.state_scale});
    }
    std::vector<Expected> expected = expect(w, [&](std::size_t, std::size_t j) { return next[j]; });
    const auto more = expect(state, [&](std::size_t slot, std::size_t j) { return slots[slot][j]; });
    expected.insert(expected.end(), more.begin(), more.end());
    compare(expected, [&](const Kernels<T>& kernels) {
      Matrix<T> parameters = copy_of(w), moments = copy_of(state);
      Update<T> with = step;
      with.state = *moments;
      if (!kernels.update(*parameters, *g, with, count))
        trial_.fail("some", "finite numbers do not overflow");
      std::vector<T> found = all(parameters);
      append(found, all(moments));
      return found;
    });
  }

  // Rules whose first array is a sum of squares, or step sizes, which are positive.
  static bool has_square_first(Rule rule) {
    return rule == Rule::rmsprop || rule == Rule::adagrad || rule == Rule::rprop;
  }

  // Streamed updates do what gradients and then updates do, to the bit.
  void descend() {
    const std::size_t rows = size(), fan_in = size(), fan_out = 1 + size(),
                      weights = padded<T>(fan_in * fan_out);
    Matrix<T> x = input(rows, fan_in), delta = internal(rows, fan_out), w = packed(fan_in, fan_out);
    Matrix<T> b = packed(1, fan_out), state = packed(1, 2 * (weights + padded<T>(fan_out)));
    const Optimizer rule = optimizer();
    const bool biased = coin();
    describe("descend", {rows, fan_in, fan_out}, kRuleNames[static_cast<int>(rule.rule)]);
    for (std::size_t i = 0; i < state.columns; ++i) state.at(0, i) = std::abs(state.at(0, i));
    const auto updates = [&](Matrix<T>& moments) {
      Update<T> of_weights{rule, *moments, weights, 3},
          of_biases{rule, *moments + 2 * weights, padded<T>(fan_out), 3};
      of_biases.optimizer.weight_decay = 0;
      of_weights.momentum_product = of_biases.momentum_product = 0.5;
      return std::pair(of_weights, of_biases);
    };
    compare({}, [&](const Kernels<T>& kernels) {
      Matrix<T> dw = copy_of(w), db = copy_of(b), one_w = copy_of(w), one_b = copy_of(b), two_w = copy_of(w),
                two_b = copy_of(b), one_state = copy_of(state), two_state = copy_of(state);
      kernels.backward_weights(*dw, biased ? *db : nullptr, *x, x.stride, *delta, delta.stride, rows, fan_in,
                               fan_out, false);
      const auto [of_weights, of_biases] = updates(two_state);
      kernels.update(*two_w, *dw, of_weights, fan_in * fan_out);
      if (biased) kernels.update(*two_b, *db, of_biases, fan_out);
      const auto [streamed, streamed_biases] = updates(one_state);
      Buffer<T> panels(rows * panel_room<T>(fan_out));
      kernels.pack_panels(panels.data(), *delta, delta.stride, rows, fan_out);
      kernels.descend({*one_w, streamed, biased ? *one_b : nullptr, streamed_biases}, *x, x.stride,
                      panels.data(), rows, fan_in, fan_out);
      return same({all(one_w), all(one_b), all(one_state)}, {all(two_w), all(two_b), all(two_state)});
    });
  }

  void regularize() {
    const std::size_t count = size(300), weights = random_.below(count + 1);
    Regularization settings;
    if (coin()) settings.l1 = number(0, 0.1);
    if (coin()) settings.l2 = number(0, 0.1);
    if (coin()) settings.clip_value = number(0.1, 1);
    if (coin()) settings.clip_norm = number(0.1, 10);
    settings.penalize_biases = coin();
    describe("regularize", {count, weights});
    Matrix<T> g = internal(1, count), w = packed(1, count);
    const std::vector<double> expected = naive_regularize(g, w, settings, weights);
    compare(expect(g, [&](std::size_t, std::size_t j) { return Expected{expected[j], 4}; }),
            [&](const Kernels<T>& kernels) {
              Matrix<T> to = copy_of(g);
              kernels.regularize(*to, *w, settings, weights, count);
              return all(to);
            });
  }

  void limit_columns() {
    const std::size_t fan_in = size(), fan_out = size();
    const double most = number(0.1, 6);
    describe("limit_columns", {fan_in, fan_out});
    Matrix<T> w = packed(fan_in, fan_out);
    compare(expect(w,
                   [&](std::size_t i, std::size_t j) {
                     double squares = 0;
                     for (std::size_t k = 0; k < fan_in; ++k) squares += w(k, j) * w(k, j);
                     return Expected{w(i, j) * std::min(1.0, most / std::sqrt(squares)), 4};
                   }),
            [&](const Kernels<T>& kernels) {
              Matrix<T> to = copy_of(w);
              kernels.limit_columns(*to, most, fan_in, fan_out);
              return all(to);
            });
  }

  void magnitude() {
    const std::size_t rows = size(20), columns = size();
    Matrix<T> x = input(rows, columns);
    describe("magnitude", {rows, columns});
    double sum = 0;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) sum += std::abs(x(i, j));
    }
    compare(
        {{sum, 1 + sum}},
        [&](const Kernels<T>& kernels) {
          return std::vector<T>{kernels.magnitude(*x, x.stride, rows, columns)};
        },
        false);
  }

  void all_finite() {
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
  void noise() {
    const std::size_t rows = size(20), columns = size(), first = random_.below(300);
    const DrawKeys keys{static_cast<std::uint32_t>(random_.next()),
                        static_cast<std::uint32_t>(random_.next())};
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

  Trial& trial_;
  Philox& random_;
};

void run_case(Trial& trial) {
  Philox random(trial.seed, trial.number);
  if (random.below(2) == 0) {
    Case<float>(trial, random).run();
  } else {
    Case<double>(trial, random).run();
  }
}

}  // namespace
}  // namespace chainrule::test

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  chainrule::test::Trial trial;
  trial.seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  trial.number = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  const std::uint64_t first = trial.number;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  do {
    chainrule::test::run_case(trial);
    ++trial.number;
  } while (Clock::now() < end);
  for (const auto* set : chainrule::runnable_kernel_sets()) std::printf("%s ", set->isa);
  std::printf("\nseed %llu: %llu cases, %zu findings\n", static_cast<unsigned long long>(trial.seed),
              static_cast<unsigned long long>(trial.number - first), trial.failures);
  return trial.failures > 0 ? 1 : 0;
}
