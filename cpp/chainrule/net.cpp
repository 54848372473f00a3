#include "chainrule/net.hpp"

namespace chainrule {

template <class T>
Net<T>::Net(const NetConfig& config) : config_(config) {
  for (std::size_t l = 0; l + 1 < config.sizes.size(); ++l) {
    const double dropout = config.dropout.empty() ? 0 : config.dropout[l];
    layers_.push_back(
        {config.sizes[l], config.sizes[l + 1], weight_count_, 0, config.activations[l], dropout});
    weight_count_ += config.sizes[l] * config.sizes[l + 1];
  }
  frozen_.resize(layers_.size(), false);
  std::size_t count = weight_count_;
  for (Layer& layer : layers_) {
    layer.biases = count;
    if (config.bias) count += layer.fan_out;
  }
  parameters_ = Buffer<T>(count);
  gradients_ = Buffer<T>(count);
}

template class Net<float>;
template class Net<double>;

}  // namespace chainrule
