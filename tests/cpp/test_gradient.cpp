// The gradient of every activation and loss against central differences of the loss.
#include <algorithm>

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

void test_activations_and_losses() {
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    for (const Activation hidden :
         {Activation::identity, Activation::sigmoid, Activation::tanh, Activation::relu}) {
      for (const Activation output :
           {Activation::identity, Activation::sigmoid, Activation::tanh, Activation::softmax}) {
        for (const Loss loss : {Loss::squared_error, Loss::half_squared_error}) {
          check_gradient({{3, 5, 2}, {hidden, output}, loss, reduction, true}, 7, true);
        }
      }
      check_gradient({{3, 5, 2}, {hidden, Activation::sigmoid}, Loss::log_loss, reduction, true}, 7, false);
      check_gradient({{3, 5, 4}, {hidden, Activation::softmax}, Loss::cross_entropy, reduction, true}, 7,
                     true);
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
