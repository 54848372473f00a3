// A multilayer perceptron: its layers, and the arenas that hold its parameters and gradients.
// It knows where its numbers are; the passes (passes.hpp) and update rules (update.hpp) know what to do with
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "chainrule/buffer.hpp"
#include "chainrule/config.hpp"

namespace chainrule {

struct NetConfig {
  std::vector<std::size_t> sizes;       // inputs, hidden units, outputs
  std::vector<Activation> activations;  // one per layer of weights, the output's last
  Loss loss = Loss::half_squared_error;
  Reduction reduction = Reduction::mean;
  bool bias = true;
  std::vector<double> loss_constants = {};  // see LossRule
  std::vector<double> dropout = {};         // one per layer, or none
  double input_noise = 0;                   // standard deviation
  std::uint64_t seed = 0;                   // of dropout and noise
};

template <class T>
class Net {
 public:
  explicit Net(const NetConfig& config);

  const std::vector<Layer>& layers() const { return layers_; }
  std::size_t features() const { return layers_.front().fan_in; }
  std::size_t outputs() const { return layers_.back().fan_out; }
  Activation output() const { return layers_.back().activation; }
  Loss loss() const { return config_.loss; }
  LossRule loss_rule() const {
    return {config_.loss, config_.loss_constants.data(), config_.loss_constants.size(), most_loss};
  }
  // Columns of the targets.
  std::size_t targets() const { return outputs() / loss_rule().outputs_per_target(); }
  Reduction reduction() const { return config_.reduction; }
  bool has_bias() const { return config_.bias; }
  double input_noise() const { return config_.input_noise; }
  std::uint64_t seed() const { return config_.seed; }

  // See LossRule; for those who report losses as scikit-learn does.
  double most_loss = __builtin_huge_val();

  // A frozen layer keeps its parameters; its gradients are computed all the same.
  bool frozen(std::size_t layer) const { return frozen_[layer]; }
  void freeze(std::size_t layer, bool frozen) { frozen_[layer] = frozen; }

  // Arena order: the weights of every layer, row-major, then the biases of every layer.
  Buffer<T>& parameters() { return parameters_; }
  const Buffer<T>& parameters() const { return parameters_; }
  Buffer<T>& gradients() { return gradients_; }
  std::size_t weight_count() const { return weight_count_; }

  // Floating-point operations of a forward pass; a backward pass takes about twice as many.
  double forward_operations(std::size_t rows) const {
    return 2 * static_cast<double>(rows) * static_cast<double>(weight_count_);
  }

  static double operations(const Layer& layer, std::size_t rows) {
    return 2 * static_cast<double>(rows) * static_cast<double>(layer.fan_in * layer.fan_out);
  }

  const T* weights(const Layer& layer) const { return parameters_.data() + layer.weights; }
  const T* biases(const Layer& layer) const {
    return config_.bias ? parameters_.data() + layer.biases : nullptr;
  }
  T* weight_gradients(const Layer& layer) { return gradients_.data() + layer.weights; }
  T* bias_gradients(const Layer& layer) { return config_.bias ? gradients_.data() + layer.biases : nullptr; }

 private:
  NetConfig config_;
  std::vector<Layer> layers_;
  std::vector<bool> frozen_;
  std::size_t weight_count_ = 0;
  Buffer<T> parameters_;
  Buffer<T> gradients_;
};

}  // namespace chainrule
