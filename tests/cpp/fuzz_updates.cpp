// Random cases of the optimizers' updates, of penalties and of limits.
#include "fuzz_case.hpp"
#include "naive_updates.hpp"

namespace chainrule::test {
namespace {

// Rules whose first array is a sum of squares, or step sizes, which are positive.
bool has_square_first(Rule rule) {
  return rule == Rule::rmsprop || rule == Rule::adagrad || rule == Rule::rprop;
}

}  // namespace

template <class T>
void Case<T>::update() {
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
    if (!kernels.update(*parameters, *g, with, count)) trial_.fail("some", "finite numbers do not overflow");
    std::vector<T> found = all(parameters);
    append(found, all(moments));
    return found;
  });
}

template <class T>
void Case<T>::regularize() {
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

template <class T>
void Case<T>::limit_columns() {
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

template <class T>
void Case<T>::penalty() {
  const std::size_t count = size(300), weights = random_.below(count + 1);
  Regularization settings;
  settings.l2 = coin() ? 0 : number(0, 10);
  settings.per_weight = coin(), settings.penalize_biases = coin();
  describe("penalty", {count, weights});
  Matrix<T> w = internal(1, count);
  double sum = 0;
  for (std::size_t i = 0; i < (settings.penalize_biases ? count : weights); ++i) sum += w(0, i) * w(0, i);
  const double expected = settings.per_weight ? settings.l2 / 2 * sum : 0;
  compare({{expected, expected}}, [&](const Kernels<T>& kernels) {
    return std::vector<T>{static_cast<T>(kernels.penalty(*w, settings, weights, count))};
  });
}

#define CHAINRULE_INSTANTIATE(T)          \
  template void Case<T>::update();        \
  template void Case<T>::regularize();    \
  template void Case<T>::limit_columns(); \
  template void Case<T>::penalty();
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule::test
