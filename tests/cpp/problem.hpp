// A small problem of each loss: a net, inputs and targets, from a fixed stream of numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "chainrule/dataset.hpp"
#include "chainrule/net.hpp"
#include "chainrule/random.hpp"

namespace chainrule::test {

// Uniform in [0, 1).
inline double uniform(Philox& random) { return static_cast<double>(random.next() >> 11) * 0x1p-53; }

template <class T>
constexpr ScalarType kScalarType = sizeof(T) == 4 ? ScalarType::float32 : ScalarType::float64;

// Rows over a packed vector.
template <class T>
Rows view(const std::vector<T>& values, std::size_t columns, ScalarType type) {
  const auto size = static_cast<std::ptrdiff_t>(sizeof(T));
  const auto* data = reinterpret_cast<const std::byte*>(values.data());
  return {data, values.size() / columns, columns, static_cast<std::ptrdiff_t>(columns) * size, size, type};
}

template <class T>
struct Problem {
  Net<T> net;
  std::vector<T> x;
  std::vector<T> y;
  std::vector<std::int32_t> labels;
  std::vector<T> weights;

  Problem(const NetConfig& config, std::size_t rows) : net(config) {
    Philox random(7, 8);
    for (std::size_t i = 0; i < net.parameters().size(); ++i) {
      net.parameters().data()[i] = static_cast<T>(uniform(random) - 0.5);
    }
    for (std::size_t i = 0; i < rows * net.features(); ++i)
      x.push_back(static_cast<T>(2 * uniform(random) - 1));
    // Targets of both signs where the sign is all that counts.
    const double least = config.loss == Loss::hinge ? -0.5 : 0;
    for (std::size_t i = 0; i < rows * net.targets(); ++i)
      y.push_back(static_cast<T>(uniform(random) + least));
    for (std::size_t i = 0; i < rows; ++i) {
      labels.push_back(static_cast<std::int32_t>(random.below(net.outputs())));
      weights.push_back(static_cast<T>(uniform(random) + 0.1));
    }
  }

  Dataset dataset(bool weighted = true) const {
    const std::size_t classes = net.loss() == Loss::cross_entropy ? net.outputs() : 0;
    Dataset data{
        view(x, net.features(), kScalarType<T>), view(y, net.targets(), kScalarType<T>), classes, {}};
    if (classes > 0) data.y = view(labels, 1, ScalarType::int32);
    if (weighted) data.weights = view(weights, 1, kScalarType<T>);
    return data;
  }
};

}  // namespace chainrule::test
