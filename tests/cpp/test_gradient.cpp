// The gradient of every activation and loss against central differences of the loss.
#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

#include "chainrule/evaluate.hpp"
#include "chainrule/trainer.hpp"
#include "check.hpp"
#include "problem.hpp"

namespace chainrule {
namespace {

void check_gradient(const NetConfig& config, std::size_t rows, bool weighted) {
  test::Problem<double> problem(config, rows);
  Net<double>& net = problem.net;
  const Dataset data = problem.dataset(weighted);
  Workspace<double> space(net, kChunkRows);
  BlockReader<double> reader;
  Interrupt never;
  const auto loss = [&] { return evaluate(net, data, space, reader, never).reduced(config.reduction); };

  Stepper<double> stepper(net, rows);
  const LossSum sum = stepper.gradient(data, {0, rows});
  CHECK(test::close(sum.reduced(config.reduction), loss(), 1e-14, loss()));
  double largest = 0;
  for (std::size_t i = 0; i < net.gradients().size(); ++i) {
    largest = std::max(largest, std::abs(net.gradients().data()[i]));
  }
  CHECK(largest > 0);
  for (std::size_t i = 0; i < net.parameters().size(); ++i) {
    constexpr double h = 1e-5;
    double& parameter = net.parameters().data()[i];
    const double kept = parameter;
    parameter = kept + h;
    const double above = loss();
    parameter = kept - h;
    const double below = loss();
    parameter = kept;
    CHECK(test::close(net.gradients().data()[i], (above - below) / (2 * h), 1e-6, largest));
  }
}

constexpr std::size_t kActivations = std::size(kActivationNames);

// The outputs that a loss is defined on; the others take any.
std::optional<Activation> output_of(Loss loss) {
  if (loss == Loss::log_loss) return Activation::sigmoid;
  if (loss == Loss::cross_entropy) return Activation::softmax;
  if (loss == Loss::poisson) return Activation::exp;
  return std::nullopt;
}

std::vector<double> constants_of(Loss loss) {
  if (loss == Loss::huber) return {0.3};
  if (loss == Loss::quantile) return {0.2, 0.7};
  if (loss == Loss::cross_entropy) return {0.1};
  return {};
}

void test_activations_and_losses() {
  for (std::size_t k = 0; k < std::size(kLossNames); ++k) {
    const auto loss = static_cast<Loss>(k);
    for (std::size_t g = 0; g + 1 < kActivations; ++g) {
      const auto hidden = static_cast<Activation>(g);
      // The softmax, too, under losses that are not its own.
      const Activation outputs[] = {hidden, Activation::softmax};
      for (const Activation output : outputs) {
        for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
          const Activation end = output_of(loss).value_or(output);
          check_gradient({{3, 5, 4}, {hidden, end}, loss, reduction, true, constants_of(loss)}, 7,
                         reduction == Reduction::mean);
        }
      }
    }
  }
}

void test_depth_and_chunks() {
  const Activation g = Activation::tanh;
  check_gradient({{2, 3}, {g}, Loss::squared_error, Reduction::mean, true}, 5, true);
  check_gradient({{2, 3, 4, 3, 2}, {g, g, g, g}, Loss::squared_error, Reduction::mean, false}, 5, true);
  check_gradient({{2, 3, 1}, {g, g}, Loss::squared_error, Reduction::mean, true}, kChunkRows + 1, true);
}

}  // namespace
}  // namespace chainrule

int main() {
  chainrule::test_activations_and_losses();
  chainrule::test_depth_and_chunks();
  return chainrule::test::failures();
}
