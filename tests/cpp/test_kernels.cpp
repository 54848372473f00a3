// The kernels of every instruction set that this processor has, against the same sums in plain loops and
// doubles.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "chainrule/buffer.hpp"
#include "chainrule/dispatch.hpp"
#include "chainrule/random.hpp"
#include "check.hpp"
#include "naive.hpp"
#include "problem.hpp"

namespace chainrule {

namespace {

using test::activation_slope, test::activation_value, test::copy_of, test::kTolerance, test::Matrix,
    test::near_kink, test::table;

// Around the edges of register tiles and vectors, and primes.
constexpr std::size_t kSizes[] = {1, 2, 5, 6, 7, 8, 12, 13, 16, 17, 31, 33, 64, 65};

template <class T>
void check_affine(const Kernels<T>& kernels, std::size_t rows, std::size_t fan_in, std::size_t fan_out,
                  bool bias) {
  Philox random(rows, fan_in * 1000 + fan_out);
  Matrix<T> x(random, rows, fan_in, fan_in + 3), w(random, fan_in, fan_out, fan_out), b(random, 1, fan_out);
  Matrix<T> y(random, rows, fan_out, rows % 2 == 0 ? row_stride<T>(fan_out) : fan_out + 5);
  kernels.affine(*y, y.stride, *x, x.stride, *w, fan_out, bias ? *b : nullptr, rows, fan_in, fan_out, {});
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < fan_out; ++j) {
      double sum = bias ? b(0, j) : 0, scale = 1;
      for (std::size_t k = 0; k < fan_in; ++k) {
        sum += x(i, k) * w(k, j);
        scale += std::abs(x(i, k) * w(k, j));
      }
      CHECK(test::close(y(i, j), sum, kTolerance<T>, scale));
    }
  }
  CHECK(y.margin_is_kept());
}

template <class T>
void check_backward_input(const Kernels<T>& kernels, std::size_t rows, std::size_t fan_in,
                          std::size_t fan_out) {
  Philox random(rows, fan_in * 1000 + fan_out);
  Matrix<T> w(random, fan_in, fan_out, fan_out), delta(random, rows, fan_out), dx(random, rows, fan_in);
  kernels.backward_input(*dx, dx.stride, *delta, delta.stride, *w, rows, fan_in, fan_out, {});
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < fan_in; ++k) {
      double sum = 0, scale = 1;
      for (std::size_t j = 0; j < fan_out; ++j) {
        sum += delta(i, j) * w(k, j);
        scale += std::abs(delta(i, j) * w(k, j));
      }
      CHECK(test::close(dx(i, k), sum, kTolerance<T>, scale));
    }
  }
  CHECK(dx.margin_is_kept());
}

// The ends of both products do what the kernels after them would have done, to the bit.
template <class T>
void check_ends(const Kernels<T>& kernels, std::size_t rows, std::size_t fan_in, std::size_t fan_out,
                Activation activation, double dropout) {
  Philox random(rows, fan_in * 1000 + fan_out);
  Matrix<T> x(random, rows, fan_in), w(random, fan_in, fan_out, fan_out), b(random, 1, fan_out);
  Matrix<T> y(random, rows, fan_out), apart = copy_of(y), slopes = copy_of(y), slopes_apart = copy_of(y);
  const bool keeps = keeps_slopes(activation) || dropout != 0;
  ForwardEnd<T> end{activation, keeps ? *slopes : nullptr, {dropout, {1, 2}, fan_out + 3, 7, 3}};
  kernels.affine(*y, y.stride, *x, x.stride, *w, fan_out, *b, rows, fan_in, fan_out, end);
  kernels.affine(*apart, y.stride, *x, x.stride, *w, fan_out, *b, rows, fan_in, fan_out, {});
  if (keeps) {
    kernels.activate_keeping_slopes(activation, *apart, *slopes_apart, y.stride, rows, fan_out, end.dropout);
  } else {
    kernels.activate(activation, *apart, y.stride, *apart, y.stride, rows, fan_out);
  }
  Matrix<T> delta(random, rows, fan_in), dx = copy_of(y), dx_apart = copy_of(y);
  Matrix<T> back(random, fan_out, fan_in, fan_in), &kept = keeps ? slopes : y;
  kernels.backward_input(*dx, dx.stride, *delta, delta.stride, *back, rows, fan_out, fan_in,
                         {activation, *kept, kept.stride, keeps});
  kernels.backward_input(*dx_apart, dx.stride, *delta, delta.stride, *back, rows, fan_out, fan_in, {});
  kernels.activation_backward(activation, *dx_apart, dx.stride, *kept, kept.stride, rows, fan_out, keeps);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < fan_out; ++j) {
      CHECK(y(i, j) == apart(i, j));
      CHECK(slopes(i, j) == slopes_apart(i, j));
      CHECK(dx(i, j) == dx_apart(i, j));
    }
  }
}

template <class T>
void check_ends(const Kernels<T>& kernels) {
  for (const std::size_t fan_out : {1, 2, 5, 16, 33, 64, 130}) {
    for (int i = 0; i < static_cast<int>(Activation::softmax); ++i) {
      for (const double dropout : {0.0, 0.25})
        check_ends(kernels, 13, 40, fan_out, static_cast<Activation>(i), dropout);
    }
    // sums in several blocks
    check_ends(kernels, 40, 700, fan_out, Activation::relu, 0);
    check_ends(kernels, 40, 700, fan_out, Activation::silu, 0);
  }
}

template <class T>
void check_backward_weights(const Kernels<T>& kernels, std::size_t rows, std::size_t fan_in,
                            std::size_t fan_out) {
  Philox random(rows, fan_in * 1000 + fan_out);
  Matrix<T> x(random, rows, fan_in, fan_in + 1), delta(random, rows, fan_out);
  // One row more than the gradient has: what follows it in the arena must stay.
  Matrix<T> dw(random, fan_in + 1, fan_out, fan_out), dw_before = copy_of(dw);
  Matrix<T> db(random, 1, fan_out), db_before = copy_of(db);
  kernels.backward_weights(*dw, *db, *x, x.stride, *delta, delta.stride, rows, fan_in, fan_out, true);
  for (std::size_t j = 0; j < fan_out; ++j) {
    double bias = db_before(0, j);
    for (std::size_t i = 0; i < rows; ++i) bias += delta(i, j);
    CHECK(test::close(db(0, j), bias, kTolerance<T>, static_cast<double>(1 + rows)));
    for (std::size_t k = 0; k < fan_in; ++k) {
      double sum = dw_before(k, j);
      for (std::size_t i = 0; i < rows; ++i) sum += x(i, k) * delta(i, j);
      CHECK(test::close(dw(k, j), sum, kTolerance<T>, static_cast<double>(1 + rows)));
    }
    CHECK(dw(fan_in, j) == dw_before(fan_in, j));
  }
  CHECK(db.margin_is_kept());
  Matrix<T> without = copy_of(dw_before);
  kernels.backward_weights(*without, nullptr, *x, x.stride, *delta, delta.stride, rows, fan_in, fan_out,
                           true);
  for (std::size_t k = 0; k <= fan_in; ++k) {
    for (std::size_t j = 0; j < fan_out; ++j) CHECK(without(k, j) == dw(k, j));
  }
}

// Streamed updates do what gradients and then updates do, to the bit.
template <class T>
void check_descend(const Kernels<T>& kernels, const Optimizer& optimizer, std::size_t rows,
                   std::size_t fan_in, std::size_t fan_out, bool bias) {
  Philox random(rows, fan_in * 1000 + fan_out);
  Matrix<T> x(random, rows, fan_in, fan_in + 1), delta(random, rows, fan_out);
  Matrix<T> w(random, fan_in, fan_out, fan_out), b(random, 1, fan_out, fan_out);
  Matrix<T> dw = copy_of(w), db = copy_of(b), streamed_w = copy_of(w), streamed_b = copy_of(b);
  const std::size_t weights = padded<T>(fan_in * fan_out), biases = padded<T>(fan_out);
  Buffer<T> state_w(2 * weights), state_b(2 * biases), streamed_state_w(2 * weights),
      streamed_state_b(2 * biases);
  Update<T> of_weights{optimizer, state_w.data(), weights, 3},
      of_biases{optimizer, state_b.data(), biases, 3};
  of_biases.optimizer.weight_decay = 0;
  of_weights.momentum_product = of_biases.momentum_product = 0.5;
  kernels.backward_weights(*dw, bias ? *db : nullptr, *x, x.stride, *delta, delta.stride, rows, fan_in,
                           fan_out, false);
  CHECK(kernels.update(*w, *dw, of_weights, fan_in * fan_out));
  if (bias) CHECK(kernels.update(*b, *db, of_biases, fan_out));
  of_weights.state = streamed_state_w.data();
  of_biases.state = streamed_state_b.data();
  Buffer<T> panels(rows * panel_room<T>(fan_out));
  kernels.pack_panels(panels.data(), *delta, delta.stride, rows, fan_out);
  CHECK(kernels.descend({*streamed_w, of_weights, bias ? *streamed_b : nullptr, of_biases}, *x, x.stride,
                        panels.data(), rows, fan_in, fan_out));
  for (std::size_t i = 0; i < fan_in * fan_out; ++i) CHECK((*streamed_w)[i] == (*w)[i]);
  for (std::size_t j = 0; j < fan_out; ++j) CHECK((*streamed_b)[j] == (*b)[j]);
  for (std::size_t i = 0; i < 2 * weights; ++i) CHECK(streamed_state_w.data()[i] == state_w.data()[i]);
  for (std::size_t j = 0; j < 2 * biases; ++j) CHECK(streamed_state_b.data()[j] == state_b.data()[j]);
}

template <class T>
void check_descend(const Kernels<T>& kernels) {
  for (const Rule rule : {Rule::sgd, Rule::adamw, Rule::nadam, Rule::rmsprop, Rule::adagrad, Rule::rprop}) {
    Optimizer optimizer{rule, 0.1};
    optimizer.weight_decay = 0.01;
    for (const std::size_t fan_in : {1, 7, 64, 130}) {
      for (const std::size_t fan_out : {2, 3, 16, 65, 200}) {
        check_descend(kernels, optimizer, 30, fan_in, fan_out, fan_in % 2 == 0);
        optimizer.momentum = 0.9 - optimizer.momentum;
      }
    }
    check_descend(kernels, optimizer, 256, 300, 200, true);
  }
  // An infinite gradient moves nothing, and is told.
  for (const std::size_t fan_out : {2, 3, 65}) {
    Philox random(1, 1);
    Matrix<T> x(random, 4, 9), delta(random, 4, fan_out), w(random, 9, fan_out, fan_out), before = copy_of(w);
    for (std::size_t i = 0; i < 4; ++i) x.at(i, 8) = std::numeric_limits<T>::infinity();
    const Update<T> step{{Rule::sgd, 0.1}};
    Buffer<T> panels(4 * panel_room<T>(fan_out));
    kernels.pack_panels(panels.data(), *delta, delta.stride, 4, fan_out);
    CHECK(!kernels.descend({*w, step, nullptr, step}, *x, x.stride, panels.data(), 4, 9, fan_out));
    for (std::size_t j = 0; j < fan_out; ++j) {
      CHECK(w(8, j) == before(8, j));
      CHECK(w(7, j) != before(7, j));
    }
  }
}

template <class T>
void check_magnitude(const Kernels<T>& kernels) {
  for (const std::size_t columns : kSizes) {
    Philox random(columns, 7);
    Matrix<T> x(random, 5, columns, columns + 3);
    double sum = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      for (std::size_t j = 0; j < columns; ++j) sum += std::abs(x(i, j));
    }
    CHECK(test::close(kernels.magnitude(*x, x.stride, 5, columns), sum, kTolerance<T>, sum));
    x.at(4, columns - 1) = std::numeric_limits<T>::quiet_NaN();
    CHECK(std::isnan(kernels.magnitude(*x, x.stride, 5, columns)));
  }
}

template <class T>
void check_products(const Kernels<T>& kernels, std::size_t rows, std::size_t fan_in, std::size_t fan_out) {
  check_affine(kernels, rows, fan_in, fan_out, (rows + fan_in) % 2 == 0);
  check_backward_input(kernels, rows, fan_in, fan_out);
  check_backward_weights(kernels, rows, fan_in, fan_out);
}

template <class T>
void check_products(const Kernels<T>& kernels) {
  for (const std::size_t rows : kSizes) {
    for (const std::size_t fan_in : kSizes) {
      for (const std::size_t fan_out : kSizes) {
        check_products(kernels, rows, fan_in, fan_out);
      }
    }
  }
  // Of several panels and blocks.
  check_products(kernels, 24, 300, 200);
  check_products(kernels, 256, 257, 133);
  check_products(kernels, 31, 70, 1030);
  check_products(kernels, 600, 65, 190);
}

template <class T>
void check_elementwise(const Kernels<T>& kernels, Activation activation, std::size_t rows,
                       std::size_t columns) {
  Philox random(rows, columns);
  Matrix<T> h(random, rows, columns), a(random, rows, columns), delta(random, rows, columns);
  for (std::size_t j = 0; j < columns; ++j) h.at(0, j) *= 8;
  Matrix<T> da = copy_of(delta), kept = copy_of(h), slopes = copy_of(delta);
  kernels.activate(activation, *a, a.stride, *h, h.stride, rows, columns);
  kernels.activate_keeping_slopes(activation, *kept, *slopes, kept.stride, rows, columns, {});
  const Matrix<T>& tells = keeps_slopes(activation) ? slopes : a;
  kernels.activation_backward(activation, *delta, delta.stride, *tells, tells.stride, rows, columns,
                              keeps_slopes(activation));
  // 1e-9 is what the differences are good to.
  const double tolerance = std::max(4 * kTolerance<T>, 1e-9);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      const double value = activation_value(activation, h(i, j)), size = std::max(1.0, std::abs(value));
      CHECK(test::close(a(i, j), value, kTolerance<T>, size));
      CHECK(kept(i, j) == a(i, j));
      if (near_kink(activation, h(i, j))) continue;
      const double slope = activation_slope(activation, h(i, j));
      CHECK(test::close(slopes(i, j), slope, tolerance, size));
      CHECK(test::close(delta(i, j), da(i, j) * slope, tolerance, size));
    }
  }
  CHECK(a.margin_is_kept() && delta.margin_is_kept() && kept.margin_is_kept() && slopes.margin_is_kept());
}

template <class T>
void check_softmax(const Kernels<T>& kernels, std::size_t rows, std::size_t columns) {
  Philox random(rows, columns);
  Matrix<T> h(random, rows, columns), a(random, rows, columns), delta(random, rows, columns);
  Matrix<T> da = copy_of(delta);
  for (std::size_t j = 0; j < columns; ++j) h.at(0, j) *= 1000;  // the largest is taken off first
  kernels.activate(Activation::softmax, *a, a.stride, *h, h.stride, rows, columns);
  // The loss whose derivative with respect to a is da.
  Matrix<T> y = copy_of(da);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) y.at(i, j) = a.at(i, j) - da.at(i, j);
  }
  Buffer<T> scratch(loss_scratch<T>(columns));
  kernels.loss({Loss::half_squared_error}, Activation::softmax, *delta, delta.stride, *h, h.stride,
               {*y, y.stride, nullptr, nullptr}, 1.0, rows, columns, scratch.data());
  for (std::size_t i = 0; i < rows; ++i) {
    double largest = h(i, 0), sum = 0, mean = 0;
    for (std::size_t j = 0; j < columns; ++j) largest = std::max(largest, h(i, j));
    for (std::size_t j = 0; j < columns; ++j) sum += std::exp(h(i, j) - largest);
    for (std::size_t j = 0; j < columns; ++j) mean += a(i, j) * da(i, j);
    for (std::size_t j = 0; j < columns; ++j) {
      CHECK(test::close(a(i, j), std::exp(h(i, j) - largest) / sum, kTolerance<T>, 1));
      CHECK(test::close(delta(i, j), a(i, j) * (da(i, j) - mean), kTolerance<T>, 1));
    }
  }
  CHECK(a.margin_is_kept() && delta.margin_is_kept());
}

template <class T>
void check_activations(const Kernels<T>& kernels) {
  for (const std::size_t rows : {1, 3}) {
    for (const std::size_t columns : kSizes) {
      for (std::size_t k = 0; k + 1 < std::size(kActivationNames); ++k)
        check_elementwise(kernels, static_cast<Activation>(k), rows, columns);
      check_softmax(kernels, rows, columns);
    }
  }
}

template <class T>
void check_losses(const Kernels<T>& kernels, std::size_t rows, std::size_t outputs) {
  Philox random(rows, outputs);
  Matrix<T> h(random, rows, outputs), a(random, rows, outputs), y(random, rows, outputs, outputs + 2);
  Matrix<T> delta(random, rows, outputs), weights(random, 1, rows, rows);
  Buffer<T> scratch(loss_scratch<T>(outputs));
  const double scale = 0.25;
  kernels.activate(Activation::softmax, *a, a.stride, *h, h.stride, rows, outputs);
  std::vector<std::int32_t> labels(rows);
  for (std::size_t i = 0; i < rows; ++i) labels[i] = static_cast<std::int32_t>(random.below(outputs));

  const Targets<T> classes{nullptr, 0, labels.data(), *weights};
  const double entropy = kernels.loss({Loss::cross_entropy}, Activation::softmax, *delta, delta.stride, *h,
                                      h.stride, classes, scale, rows, outputs, scratch.data());
  double expected = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::size_t>(labels[i]);
    expected -= weights(0, i) * std::log(a(i, label));
    for (std::size_t j = 0; j < outputs; ++j) {
      const double slope = scale * weights(0, i) * (a(i, j) - (j == label ? 1 : 0));
      CHECK(test::close(delta(i, j), slope, kTolerance<T>, 1));
    }
  }
  CHECK(test::close(entropy, expected, kTolerance<T>, 5.0 * static_cast<double>(rows)));
  CHECK(delta.margin_is_kept());
  // Without a place for deltas the loss is the same.
  CHECK(kernels.loss({Loss::cross_entropy}, Activation::softmax, nullptr, 0, *h, h.stride, classes, 1.0, rows,
                     outputs, scratch.data()) == entropy);

  kernels.activate(Activation::identity, *a, a.stride, *h, h.stride, rows, outputs);
  const Targets<T> values{*y, y.stride, nullptr, nullptr};
  const double squared = kernels.loss({Loss::squared_error}, Activation::identity, *delta, delta.stride, *h,
                                      h.stride, values, scale, rows, outputs, scratch.data());
  expected = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < outputs; ++j) {
      const double difference = a(i, j) - y(i, j);
      expected += difference * difference;
      CHECK(test::close(delta(i, j), scale * 2 * difference, kTolerance<T>, 1));
    }
  }
  CHECK(test::close(squared, expected, kTolerance<T>, 4.0 * static_cast<double>(rows * outputs)));
}

template <class T>
void check_updates(const Kernels<T>& kernels, std::size_t size) {
  Philox random(size, 1);
  Matrix<T> w(random, 1, size), g(random, 1, size), v(random, 1, size), m(random, 1, size);
  for (std::size_t i = 0; i < size; ++i) v.at(0, i) = std::abs(v.at(0, i));
  Matrix<T> plain = copy_of(w), moved = copy_of(w), adapted = copy_of(w);
  CHECK(kernels.update(*plain, *g, {{Rule::sgd, 0.1}, nullptr, 0, 3}, size));
  Matrix<T> velocity = copy_of(v);
  CHECK(kernels.update(*moved, *g, {{Rule::sgd, 0.1, 0.9}, *velocity, size, 3}, size));
  Matrix<T> state(random, 2, size, padded<T>(size)), mean(random, 1, size), square(random, 1, size);
  std::copy_n(*m, size, *state);
  std::copy_n(*v, size, *state + state.stride);
  CHECK(kernels.update(*adapted, *g,
                       {{Rule::adam, 0.1, 0, false, 0.9, 0.99, 1e-3}, *state, padded<T>(size), 3}, size));
  std::copy_n(*state, size, *mean);
  std::copy_n(*state + state.stride, size, *square);
  Matrix<T> penalised = copy_of(g);
  kernels.regularize(*penalised, *w, {0, 0.5}, size, size);
  double squares = 0;
  for (std::size_t i = 0; i < size; ++i) squares += w(0, i) * w(0, i);
  Regularization per_weight{0, 3};
  per_weight.per_weight = true;
  CHECK(test::close(kernels.penalty(*w, per_weight, size, size), 1.5 * squares, 1e-14, squares));
  for (std::size_t i = 0; i < size; ++i) {
    CHECK(test::close(plain(0, i), w(0, i) - 0.1 * g(0, i), kTolerance<T>, 1));
    const double speed = 0.9 * v(0, i) + g(0, i);
    CHECK(test::close(moved(0, i), w(0, i) - 0.1 * speed, kTolerance<T>, 1));
    const double m_next = 0.9 * m(0, i) + 0.1 * g(0, i), v_next = 0.99 * v(0, i) + 0.01 * g(0, i) * g(0, i);
    CHECK(test::close(mean(0, i), m_next, kTolerance<T>, 1));
    CHECK(test::close(square(0, i), v_next, kTolerance<T>, 1));
    const double m_hat = m_next / (1 - std::pow(0.9, 3)), v_hat = v_next / (1 - std::pow(0.99, 3));
    const double step = 0.1 * m_hat / (std::sqrt(v_hat) + 1e-3);
    CHECK(test::close(adapted(0, i), w(0, i) - step, kTolerance<T>, 1 + std::abs(step)));
    CHECK(test::close(penalised(0, i), g(0, i) + 0.5 * w(0, i), kTolerance<T>, 1));
  }
  for (Matrix<T>* matrix : {&plain, &moved, &velocity, &adapted, &state, &penalised}) {
    CHECK(matrix->margin_is_kept());
  }
}

// A parameter that would overflow keeps its value and is reported, wherever it stands.
template <class T>
void check_overflow(const Kernels<T>& kernels, std::size_t size) {
  for (std::size_t at = 0; at < size; ++at) {
    Philox random(size, 1);
    Matrix<T> w(random, 1, size), g(random, 1, size), state(random, 2, size, padded<T>(size));
    for (std::size_t i = 0; i < size; ++i) state.at(1, i) = std::abs(state.at(1, i));
    CHECK(kernels.all_finite(*g, size));
    g.at(0, at) = std::numeric_limits<T>::max();
    CHECK(kernels.all_finite(*g, size));
    const T before = w.at(0, at);
    CHECK(!kernels.update(*w, *g, {{Rule::sgd, 10}, nullptr, 0, 1}, size));
    CHECK(w.at(0, at) == before);
    CHECK(!kernels.update(*w, *g, {{Rule::adam, 0.1}, *state, padded<T>(size), 1}, size));
    for (std::size_t i = 0; i < size; ++i) CHECK(std::isfinite(w.at(0, i)));
    for (const T bad : {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
                        std::numeric_limits<T>::quiet_NaN()}) {
      g.at(0, at) = bad;
      CHECK(!kernels.all_finite(*g, size));
    }
  }
}

template <class T>
void check_all(const Kernels<T>& kernels) {
  check_products(kernels);
  check_ends(kernels);
  check_descend(kernels);
  check_magnitude(kernels);
  check_activations(kernels);
  for (const std::size_t size : kSizes) {
    check_losses(kernels, 7, size);
    check_updates(kernels, size);
    check_overflow(kernels, size);
  }
}

}  // namespace
}  // namespace chainrule

int main() {
  for (const chainrule::KernelSet* set : chainrule::runnable_kernel_sets()) {
    std::printf("%s\n", set->isa);
    chainrule::check_all(chainrule::test::table<float>(*set));
    chainrule::check_all(chainrule::test::table<double>(*set));
  }
  return chainrule::test::failures();
}
