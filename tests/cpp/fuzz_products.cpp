// Random cases of the products, of what ends them, and of updates in their stores.
#include "chainrule/dataset.hpp"
#include "chainrule/sparse.hpp"
#include "fuzz_case.hpp"

namespace chainrule::test {

template <class T>
void Case<T>::affine() {
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
template <class T>
template <class Product>
void Case<T>::affine_end(std::size_t rows, std::size_t fan_out, Product product) {
  Matrix<T> y = internal(rows, fan_out), slopes = copy_of(y);
  const Activation function = activation();
  const double share = coin() ? 0 : number(0, 0.9);
  const bool keeps = keeps_slopes(function) || share != 0;
  const Dropout dropout{
      share, {static_cast<std::uint32_t>(random_.next()), 2}, fan_out + 3, random_.below(9), 3};
  trial_.what += std::string(" ") + kActivationNames[static_cast<int>(function)];
  compare({}, [&](const Kernels<T>& kernels) {
    Matrix<T> together = copy_of(y), apart = copy_of(y), kept = copy_of(slopes), kept_apart = copy_of(slopes);
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

template <class T>
void Case<T>::backward_input() {
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

template <class T>
void Case<T>::backward_weights() {
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
    kernels.backward_weights(*to, biased ? *bias : nullptr, *x, x.stride, *delta, delta.stride, rows, fan_in,
                             fan_out, accumulate);
    std::vector<T> found = all(to);
    append(found, all(bias));
    return found;
  });
}

// Streamed updates do what gradients and then updates do, to the bit.
template <class T>
void Case<T>::descend() {
  const std::size_t rows = size(), fan_in = size(), fan_out = 1 + size(),
                    weights = padded<T>(fan_in * fan_out);
  Matrix<T> x = input(rows, fan_in), delta = internal(rows, fan_out), w = packed(fan_in, fan_out);
  Matrix<T> b = packed(1, fan_out), state = packed(1, 2 * (weights + padded<T>(fan_out)));
  Optimizer rule = optimizer();
  rule.l2 = coin() ? 0 : number(0, 0.1);
  const bool biased = coin();
  describe("descend", {rows, fan_in, fan_out}, kRuleNames[static_cast<int>(rule.rule)]);
  for (std::size_t i = 0; i < state.columns; ++i) state.at(0, i) = std::abs(state.at(0, i));
  const auto updates = [&](Matrix<T>& moments) {
    Update<T> of_weights{rule, *moments, weights, 3},
        of_biases{rule, *moments + 2 * weights, padded<T>(fan_out), 3};
    of_biases.optimizer.weight_decay = of_biases.optimizer.l2 = 0;
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

// An update that adds the penalty does what the penalty and then an update do, to the bit.
template <class T>
void Case<T>::penalized_update() {
  const std::size_t count = size(300), room = padded<T>(count);
  Matrix<T> w = internal(1, count), g = internal(1, count), state(random_, 2, count, room);
  Update<T> apart{optimizer(), nullptr, room, 1 + random_.below(50)};
  apart.momentum_product = number(0.1, 0.9);
  Regularization penalty, left;
  penalty.l2 = left.l2 = number(0, 0.1);
  Update<T> at_once = apart;
  left.leave_l2_to(at_once.optimizer);
  describe("penalized update", {count}, kRuleNames[static_cast<int>(apart.optimizer.rule)]);
  for (std::size_t i = 0; i < count; ++i) {
    for (int slot : {0, 1}) state.at(slot, i) = std::abs(state.at(slot, i));
  }
  compare({}, [&](const Kernels<T>& kernels) {
    Matrix<T> one_w = copy_of(w), two_w = copy_of(w), one_state = copy_of(state), two_state = copy_of(state);
    Matrix<T> penalized = copy_of(g);
    at_once.state = *one_state, apart.state = *two_state;
    kernels.update(*one_w, *g, at_once, count);
    kernels.regularize(*penalized, *w, penalty, count, count);
    kernels.update(*two_w, *penalized, apart, count);
    return same({all(one_w), all(one_state)}, {all(two_w), all(two_state)});
  });
}

// Products of what is stored are those of the dense matrix, to the bit: of several outputs, for dense kernels
// take the sums of one in another order.
template <class T>
void Case<T>::sparse() {
  const std::size_t rows = std::min(size(), kChunkRows), fan_in = size(), fan_out = 1 + size();
  Matrix<T> x = packed(rows, fan_in), delta = internal(rows, fan_out), w = packed(fan_in, fan_out);
  Matrix<T> b = packed(1, fan_out), y = internal(rows, fan_out), dw = packed(fan_in, fan_out);
  const ForwardEnd<T> end{activation()};
  const bool accumulate = coin(), biased = coin();
  describe("sparse", {rows, fan_in, fan_out}, accumulate ? "added" : "");
  std::vector<std::uint64_t> starts{0};
  std::vector<std::int32_t> columns;
  std::vector<T> values;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < fan_in; ++j) {
      if (random_.below(8) != 0) {
        x.at(i, j) = 0;
        continue;
      }
      columns.push_back(static_cast<std::int32_t>(j));
      values.push_back(x.at(i, j));
    }
    starts.push_back(values.size());
  }
  const CompressedRows<T> stored{starts.data(), columns.data(), values.data()};
  Compressed<T> by_column;
  by_column.transpose(stored, rows, fan_in);
  const T* bias = biased ? *b : nullptr;
  compare({}, [&](const Kernels<T>& kernels) {
    Matrix<T> one_y = copy_of(y), two_y = copy_of(y), one_dw = copy_of(dw), two_dw = copy_of(dw);
    kernels.affine(*one_y, y.stride, *x, x.stride, *w, fan_out, bias, rows, fan_in, fan_out, end);
    kernels.sparse_affine(*two_y, y.stride, stored, *w, fan_out, bias, rows, fan_out, end);
    kernels.backward_weights(*one_dw, nullptr, *x, x.stride, *delta, delta.stride, rows, fan_in, fan_out,
                             accumulate);
    kernels.sparse_backward_weights(*two_dw, by_column.rows(), *delta, delta.stride, fan_in, fan_out,
                                    accumulate);
    return same({all(one_y), all(one_dw)}, {all(two_y), all(two_dw)});
  });
}

#define CHAINRULE_INSTANTIATE(T)             \
  template void Case<T>::affine();           \
  template void Case<T>::backward_input();   \
  template void Case<T>::backward_weights(); \
  template void Case<T>::descend();          \
  template void Case<T>::penalized_update(); \
  template void Case<T>::sparse();
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule::test
