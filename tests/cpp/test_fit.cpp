// Training: a small problem is learned, fits can be continued, and divergence leaves finite parameters.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "chainrule/trainer.hpp"
#include "check.hpp"
#include "problem.hpp"

namespace chainrule {
namespace {

const NetConfig kClassifier{
    {2, 8, 2}, {Activation::tanh, Activation::softmax}, Loss::cross_entropy, Reduction::mean, true};

bool never() { return false; }

template <class T>
std::vector<T> parameters_of(const Net<T>& net) {
  return {net.parameters().data(), net.parameters().data() + net.parameters().size()};
}

template <class T>
Stop run(Trainer<T>& trainer, std::size_t epochs, Progress& progress, double lr = 0.01) {
  const std::vector<double> rates(epochs, lr);
  return trainer.run(rates.data(), epochs, progress);
}

// Whether a point lies in the first or third quadrant: not to be had without the hidden layer.
template <class T>
test::Problem<T> quadrants() {
  test::Problem<T> problem(kClassifier, 200);
  for (std::size_t i = 0; i < problem.labels.size(); ++i) {
    problem.labels[i] = problem.x[2 * i] * problem.x[2 * i + 1] > 0 ? 1 : 0;
  }
  return problem;
}

template <class T>
void test_learns() {
  test::Problem<T> problem = quadrants<T>();
  OptimizerState<T> state;
  Trainer<T> trainer(problem.net, state, problem.dataset(false), {}, {{Rule::adam, 0.01}}, never);
  Progress progress;
  CHECK(run(trainer, 200, progress) == Stop::none);
  CHECK(progress.epochs == 200);
  CHECK(trainer.losses().size() == 200);
  CHECK(trainer.losses().front() > 0.5);
  CHECK(trainer.losses().back() < 0.1);
  std::vector<T> y(400);
  Interrupt unstopped;
  predict(y.data(), 2, problem.net, problem.dataset().x, unstopped);
  int right = 0;
  for (std::size_t i = 0; i < 200; ++i) right += (y[2 * i + 1] > y[2 * i]) == (problem.labels[i] == 1);
  CHECK(right >= 195);
}

void test_ten_and_ten_are_twenty() {
  for (const Rule rule : {Rule::sgd, Rule::adam}) {
    test::Problem<float> once = quadrants<float>(), twice = quadrants<float>();
    const FitOptions options{{rule, 0.01, 0.9}, 32, true, 5, {0, 0.001}};
    OptimizerState<float> once_state, twice_state;
    Progress once_progress, twice_progress;
    Trainer<float> trainer(once.net, once_state, once.dataset(), {}, options, never);
    run(trainer, 20, once_progress);
    for (int part = 0; part < 2; ++part) {
      Trainer<float> again(twice.net, twice_state, twice.dataset(), {}, options, never);
      run(again, 10, twice_progress);
    }
    CHECK(parameters_of(once.net) == parameters_of(twice.net));
    CHECK(once_state.steps() == twice_state.steps());
  }
}

// A fit that is stopped within an epoch and goes on ends where one that was not stopped does.
void test_interrupted_fit_goes_on() {
  for (const std::size_t batch_size : {3, 32, 300}) {
    test::Problem<float> whole = quadrants<float>(), parts = quadrants<float>();
    FitOptions options{{Rule::adam, 0.01}, batch_size, true, 5};
    OptimizerState<float> whole_state, parts_state;
    Progress whole_progress, parts_progress;
    Trainer<float> trainer(whole.net, whole_state, whole.dataset(), {}, options, never);
    run(trainer, 3, whole_progress);

    options.time_limit = 0;
    Trainer<float> stopped(parts.net, parts_state, parts.dataset(), {}, options, never);
    CHECK(run(stopped, 3, parts_progress) == Stop::time);
    CHECK(parts_progress.epochs == 0 && parts_progress.rows_done == 0);
    // Some minibatches of the first epoch, as an interrupt leaves them.
    parts_progress.resume(parts.x.size() / 2, std::min<std::size_t>(batch_size, 200), batch_size < 200);
    Permutation order;
    order.reset(5, 0, 200);
    Stepper<float> stepper(parts.net, batch_size);
    stepper.put_rows_in_lanes(batch_size);
    for (int batch = 0; batch < 2 && batch_size < 200; ++batch) {
      const Batch rows{parts_progress.rows_done, batch_size, &order};
      parts_progress.add(batch_size, stepper.step(parts.dataset(), rows, parts_state, options.optimizer, {}));
    }
    options.time_limit = std::numeric_limits<double>::infinity();
    Trainer<float> resumed(parts.net, parts_state, parts.dataset(), {}, options, never);
    CHECK(run(resumed, 3, parts_progress) == Stop::none);
    CHECK(parts_progress.epochs == 3);
    CHECK(parameters_of(parts.net) == parameters_of(whole.net));
    for (std::size_t e = 0; e < 3; ++e) CHECK(test::close(resumed.losses()[e], trainer.losses()[e], 1e-6, 1));
  }
}

void test_interruption() {
  test::Problem<double> problem = quadrants<double>();
  OptimizerState<double> state;
  Trainer<double> trainer(problem.net, state, problem.dataset(), {}, {}, [] { return true; });
  Progress progress;
  CHECK(run(trainer, std::size_t{1} << 20, progress) == Stop::interrupted);
  CHECK(trainer.losses().size() == progress.epochs);
}

void test_patience_puts_the_best_back() {
  test::Problem<double> problem = quadrants<double>();
  // Validation on the opposite labels: the better the net learns, the worse it fares there.
  test::Problem<double> opposite = quadrants<double>();
  for (std::int32_t& label : opposite.labels) label = 1 - label;
  FitOptions options{{Rule::adam, 0.01}};
  options.patience = 5;
  OptimizerState<double> state;
  Trainer<double> trainer(problem.net, state, problem.dataset(), opposite.dataset(), options, never);
  Progress progress;
  CHECK(run(trainer, 1000, progress) == Stop::patience);
  const std::vector<double>& losses = trainer.validation_losses();
  const std::size_t best = std::min_element(losses.begin(), losses.end()) - losses.begin();
  CHECK(losses.size() == best + 6);
  trainer.restore_best(progress);
  Workspace<double> space(problem.net, kChunkRows);
  BlockReader<double> reader;
  Interrupt unstopped;
  CHECK(evaluate(problem.net, opposite.dataset(), space, reader, unstopped).reduced(Reduction::mean) ==
        losses[best]);
}

template <class Work>
bool diverges(Work work) {
  try {
    work();
  } catch (const Divergence&) {
    return true;
  }
  return false;
}

void test_divergence() {
  for (const double lr : {1e30, 1e300}) {
    test::Problem<float> problem({{2, 3, 1}, {Activation::tanh, Activation::identity}, Loss::squared_error},
                                 50);
    OptimizerState<float> state;
    Trainer<float> trainer(problem.net, state, problem.dataset(), {}, {{Rule::sgd, lr}}, never);
    Progress progress;
    CHECK(diverges([&] { run(trainer, 100, progress, lr); }));
    for (const float parameter : parameters_of(problem.net)) CHECK(std::isfinite(parameter));
  }
}

void test_gradient_that_is_not_finite() {
  for (const Rule rule : {Rule::sgd, Rule::adam}) {
    test::Problem<double> problem = quadrants<double>();
    OptimizerState<double> state;
    state.step(problem.net, {rule});
    const std::vector<double> before = parameters_of(problem.net);
    problem.net.gradients().data()[3] = std::numeric_limits<double>::quiet_NaN();
    CHECK(diverges([&] { state.step(problem.net, {rule}); }));
    CHECK(parameters_of(problem.net) == before);
    CHECK(state.steps() == 1);
  }
}

}  // namespace
}  // namespace chainrule

int main() {
  chainrule::test_learns<float>();
  chainrule::test_learns<double>();
  chainrule::test_ten_and_ten_are_twenty();
  chainrule::test_interrupted_fit_goes_on();
  chainrule::test_interruption();
  chainrule::test_patience_puts_the_best_back();
  chainrule::test_divergence();
  chainrule::test_gradient_that_is_not_finite();
  return chainrule::test::failures();
}
