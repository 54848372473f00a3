// Several threads at one net: they predict, take losses and gradients of inputs while others train nets of
// their own, all of them wanting the pool. Every result has the bits that it has alone.
#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "chainrule/evaluate.hpp"
#include "chainrule/input_gradient.hpp"
#include "chainrule/trainer.hpp"
#include "check.hpp"
#include "problem.hpp"

namespace chainrule::test {
namespace {

constexpr std::size_t kThreads = 3;  // of the pool, for each caller

struct Case {
  NetConfig net;
  std::size_t rows;
  std::size_t batch_size;
  std::size_t epochs;
  std::size_t repetitions;  // of each reader
};

// What reading a net gives.
template <class T>
struct Answers {
  std::vector<T> yhat, gradient;
  double loss;

  bool operator==(const Answers&) const = default;
};

template <class T>
Answers<T> read(const Problem<T>& problem, std::size_t threads) {
  const Net<T>& net = problem.net;
  const Dataset data = problem.dataset();
  const std::size_t rows = data.x.rows;
  Answers<T> answers{std::vector<T>(rows * net.outputs()), std::vector<T>(rows * net.features()), 0};
  Interrupt never;
  predict(answers.yhat.data(), static_cast<std::ptrdiff_t>(net.outputs()), net, data.x, never, threads);
  loss_input_gradient(answers.gradient.data(), net, data, never);
  Workspace<T> space(net, std::min(rows, kChunkRows));
  space.use_threads(threads);
  BlockReader<T> reader;
  answers.loss = evaluate(net, data, space, reader, never).loss;
  return answers;
}

// The parameters of a net after a fit.
template <class T>
std::vector<T> fit(const Case& c, std::size_t threads) {
  Problem<T> problem(c.net, c.rows);
  FitOptions options{{Rule::adam, 1e-3}, c.batch_size};
  options.threads = threads;
  OptimizerState<T> state;
  Trainer<T> trainer(problem.net, state, problem.dataset(), problem.dataset(), options, [] { return false; });
  Progress progress;
  const std::vector<double> rates(c.epochs, 1e-3);
  CHECK(trainer.run(rates.data(), c.epochs, progress) == Stop::none);
  const T* parameters = problem.net.parameters().data();
  return {parameters, parameters + problem.net.parameters().size()};
}

template <class T>
void test_readers_beside_fits(const Case& c) {
  const Problem<T> shared(c.net, c.rows);
  const Answers<T> answers = read(shared, 1);
  const std::vector<T> parameters = fit<T>(c, 1);
  std::vector<std::thread> callers;
  for (std::size_t reader = 0; reader < 4; ++reader) {
    callers.emplace_back([&, threads = 1 + reader % kThreads] {
      for (std::size_t i = 0; i < c.repetitions; ++i) CHECK(read(shared, threads) == answers);
    });
  }
  for (int trainer = 0; trainer < 2; ++trainer)
    callers.emplace_back([&] { CHECK(fit<T>(c, kThreads) == parameters); });
  for (std::thread& caller : callers) caller.join();
}

// With a share of 1 / `divisor` of the epochs and readings.
template <class T>
void test_nets_of_each_size(std::size_t divisor) {
  const auto less = [divisor](std::size_t count) { return std::max(count / divisor, std::size_t{1}); };
  const NetConfig online{{3, 4, 1}, {Activation::tanh, Activation::sigmoid}, Loss::log_loss};
  const NetConfig tiny{{5, 8, 3}, {Activation::gelu, Activation::softmax}, Loss::cross_entropy};
  const NetConfig layered{
      {64, 130, 33, 10}, {Activation::relu, Activation::silu, Activation::identity}, Loss::squared_error};
  NetConfig dropping = layered;
  dropping.dropout = {0.2, 0.2, 0};
  dropping.input_noise = 0.1;
  const NetConfig streamed{{300, 520, 300, 1},
                           {Activation::relu, Activation::tanh, Activation::identity},
                           Loss::half_squared_error};
  test_readers_beside_fits<T>({online, 40, 1, less(20), less(50)});
  test_readers_beside_fits<T>({tiny, 300, 32, less(20), less(20)});
  test_readers_beside_fits<T>({layered, 600, 300, less(3), less(4)});
  test_readers_beside_fits<T>({dropping, 300, 128, less(3), less(4)});
  test_readers_beside_fits<T>({streamed, 280, 140, less(2), less(2)});
}

}  // namespace
}  // namespace chainrule::test

int main(int argc, char** argv) {
  const std::size_t divisor = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1;
  chainrule::test::test_nets_of_each_size<float>(divisor);
  chainrule::test::test_nets_of_each_size<double>(divisor);
  return chainrule::test::failures();
}
