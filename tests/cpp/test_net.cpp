// Where a net keeps its numbers, and that its arenas are aligned and zero.
#include <cstdint>

#include "chainrule/net.hpp"
#include "check.hpp"

namespace chainrule {
namespace {

NetConfig config_of(bool bias) {
  return {{3, 4, 5, 2},
          {Activation::tanh, Activation::relu, Activation::identity},
          Loss::squared_error,
          Reduction::mean,
          bias};
}

void test_layout() {
  const Net<float> net(config_of(true));
  CHECK(net.features() == 3);
  CHECK(net.outputs() == 2);
  CHECK(net.layers().size() == 3);
  CHECK(net.weight_count() == 3 * 4 + 4 * 5 + 5 * 2);
  CHECK(net.parameters().size() == net.weight_count() + 4 + 5 + 2);
  std::size_t offset = 0;
  for (const Layer& layer : net.layers()) {
    CHECK(layer.weights == offset);
    offset += layer.fan_in * layer.fan_out;
  }
  for (const Layer& layer : net.layers()) {
    CHECK(layer.biases == offset);
    CHECK(net.biases(layer) == net.parameters().data() + offset);
    offset += layer.fan_out;
  }
  CHECK(offset == net.parameters().size());
  CHECK(net.layers()[1].activation == Activation::relu);
}

void test_without_biases() {
  Net<double> net(config_of(false));
  CHECK(net.parameters().size() == net.weight_count());
  for (const Layer& layer : net.layers()) {
    CHECK(net.biases(layer) == nullptr);
    CHECK(net.bias_gradients(layer) == nullptr);
    CHECK(net.weight_gradients(layer) == net.gradients().data() + layer.weights);
  }
}

void test_arenas() {
  Net<float> net(config_of(true));
  for (Buffer<float>* arena : {&net.parameters(), &net.gradients()}) {
    CHECK(reinterpret_cast<std::uintptr_t>(arena->data()) % kAlignment == 0);
    for (std::size_t i = 0; i < arena->size(); ++i) CHECK(arena->data()[i] == 0);
  }
  CHECK(padded<float>(1) == 16);
  CHECK(padded<float>(16) == 16);
  CHECK(padded<double>(9) == 16);
}

void test_buffer_beyond_all_memory() {
  bool refused = false;
  try {
    const Buffer<double> buffer(std::numeric_limits<std::size_t>::max() / 2);
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  CHECK(refused);
}

}  // namespace
}  // namespace chainrule

int main() {
  chainrule::test_layout();
  chainrule::test_without_biases();
  chainrule::test_arenas();
  chainrule::test_buffer_beyond_all_memory();
  return chainrule::test::failures();
}
