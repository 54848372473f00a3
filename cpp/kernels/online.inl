// Online gradient descent on a net of a few units: one row a step, so that nothing is left to do side by side
// but a layer's units. A step waits for one result after the other; what counts is the length of that chain.
// So it stays in registers from layer to layer, and the weights are kept twice, by inputs and by outputs, in
// rows of full vectors. Measured: half the time of one lane of tiny.inl.

namespace chainrule {
namespace {

inline constexpr std::size_t kOnlineUnits = 8;  // at most, in a layer
inline constexpr int kOnlineLayers = 4;         // at most

// One number a unit, in as many vectors as they take. What the lanes beyond a layer's units hold means
// nothing and is never read: every product is with the number of one unit.
template <class T>
struct Units {
  static constexpr std::size_t kVectors = (kOnlineUnits + kLanes<T> - 1) / kLanes<T>;
  Vec<T> vector[kVectors];

  static CHAINRULE_INLINE Units load(const T* from, std::size_t count) {
    Units units;
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t first = v * kLanes<T>;
      units.vector[v] = first < count ? load_most(from + first, count - first) : Vec<T>{};
    }
    return units;
  }

  const T* numbers() const { return reinterpret_cast<const T*>(vector); }
  T* numbers() { return reinterpret_cast<T*>(vector); }

  // Unit i in all lanes; in registers where it can be, for the way through memory is long.
  CHAINRULE_INLINE Vec<T> spread(std::size_t i) const {
#ifndef __clang__  // which has no shuffle by a variable
    if constexpr (kVectors == 1) {
      return __builtin_shuffle(vector[0], IntVec<T>{} + static_cast<typename Format<T>::Int>(i));
    }
#endif
    return broadcast(numbers()[i]);
  }

  // this += factor * other
  CHAINRULE_INLINE void add(Vec<T> factor, const Units& other) {
    for (std::size_t v = 0; v < kVectors; ++v) vector[v] = multiply_add(factor, other.vector[v], vector[v]);
  }
};

template <class T>
struct OnlineLayer {
  std::size_t fan_in, fan_out;
  Activation activation;
  Units<T> by_input[kOnlineUnits];   // w[i][j] at input i, unit j
  Units<T> by_output[kOnlineUnits];  // at output j, unit i
  Units<T> biases;

  CHAINRULE_INLINE Units<T> sums(const Units<T>& a) const {
    Units<T> even = biases, odd{};  // two sums, for half the wait
    for (std::size_t i = 0; i < fan_in; i += 2) {
      even.add(a.spread(i), by_input[i]);
      if (i + 1 < fan_in) odd.add(a.spread(i + 1), by_input[i + 1]);
    }
    for (std::size_t v = 0; v < Units<T>::kVectors; ++v) even.vector[v] += odd.vector[v];
    return even;
  }

  // The gradient of the inputs a; then both copies of the weights move by a[i] delta[j].
  CHAINRULE_INLINE Units<T> backward_inputs(const Units<T>& a, const Units<T>& delta) {
    Units<T> sum{};
    for (std::size_t j = 0; j < fan_out; ++j) {
      const Vec<T> factor = delta.spread(j);
      sum.add(factor, by_output[j]);
      by_output[j].add(factor, a);
    }
    return sum;
  }

  CHAINRULE_INLINE void move(const Units<T>& a, const Units<T>& delta, bool bias) {
    for (std::size_t i = 0; i < fan_in; ++i) by_input[i].add(a.spread(i), delta);
    if (bias) biases.add(broadcast(T(1)), delta);
  }
};

template <class T>
class OnlineNet {
 public:
  OnlineNet(const TinyNet<T>& net, const Targets<T>& targets) : net_(net), targets_(targets) {
    for (std::size_t l = 0; l < net.depth; ++l) {
      const Layer& from = net.layers[l];
      OnlineLayer<T>& to = layers_[l];
      to.fan_in = from.fan_in, to.fan_out = from.fan_out, to.activation = from.activation;
      for (std::size_t j = 0; j < from.fan_out; ++j) {
        if (net.bias) to.biases.numbers()[j] = net.parameters[from.biases + j];
        for (std::size_t i = 0; i < from.fan_in; ++i) {
          const T w = net.parameters[from.weights + i * from.fan_out + j];
          to.by_input[i].numbers()[j] = to.by_output[j].numbers()[i] = w;
        }
      }
    }
    apart_ = targets.values != nullptr && net.loss.count <= 1 && source_of(net.loss.loss) != From::row &&
             net.layers[net.depth - 1].activation != Activation::softmax;
  }

  void store_parameters() const {
    for (std::size_t l = 0; l < net_.depth; ++l) {
      const OnlineLayer<T>& from = layers_[l];
      const Layer& to = net_.layers[l];
      for (std::size_t j = 0; j < from.fan_out; ++j) {
        if (net_.bias) net_.parameters[to.biases + j] = from.biases.numbers()[j];
        for (std::size_t i = 0; i < from.fan_in; ++i) {
          net_.parameters[to.weights + i * from.fan_out + j] = from.by_input[i].numbers()[j];
        }
      }
    }
  }

  // A step for each row of x; returns the losses' sum, in lane 0.
  template <int Depth>
  Vec<T> train(const T* x, std::ptrdiff_t x_stride, std::size_t rows, T lr) {
    Vec<T> losses{};
    for (row_ = 0; row_ < rows; ++row_, x += x_stride) {
      const T weight = targets_.weights == nullptr ? T(1) : targets_.weights[row_];
      const T scale = net_.reduction == Reduction::sum || weight == 0 ? weight : T(1);
      Vec<T> loss;
      descend<Depth>(layers_, Units<T>::load(x, layers_[0].fan_in), -lr * scale, loss);
      if (weight != 0) losses += weight * loss;
    }
    return losses;
  }

 private:
  // Forward on the way in, backward on the way out: returns the gradient of the inputs a, times `factor`,
  // where a layer below needs it. With -lr as its factor a weight moves by its gradient.
  template <int Depth>
  CHAINRULE_INLINE Units<T> descend(OnlineLayer<T>* layer, const Units<T>& a, T factor, Vec<T>& loss) {
    Units<T> out = layer->sums(a), kept = out, delta;
    if constexpr (Depth == 1) {
      delta = loss_delta(*layer, out, factor, loss);
    } else {
      const auto each = [](auto work) {
        for (std::size_t v = 0; v < Units<T>::kVectors; ++v) work(v);
      };
      with_activation<T>(layer->activation, [&](auto function) {
        each([&](std::size_t v) {
          // the slopes where they have to be kept, and else the outputs tell them
          if constexpr (decltype(function)::from_output) {
            kept.vector[v] = out.vector[v] = decltype(function)::value(out.vector[v]);
          } else {
            out.vector[v] = decltype(function)::value(out.vector[v], kept.vector[v]);
          }
        });
      });
      delta = descend<Depth - 1>(layer + 1, out, factor, loss);
      with_activation<T>(layer->activation, [&](auto function) {
        each([&](std::size_t v) {
          delta.vector[v] = decltype(function)::slope(delta.vector[v], kept.vector[v]);
        });
      });
    }
    Units<T> below{};
    if (layer != layers_) below = layer->backward_inputs(a, delta);
    layer->move(a, delta, net_.bias);
    return below;
  }

  // The loss, and its derivatives with respect to the logits, times `factor`. Outputs that have nothing to do
  // with each other stay in their lanes.
  CHAINRULE_INLINE Units<T> loss_delta(const OnlineLayer<T>& layer, const Units<T>& logits, T factor,
                                       Vec<T>& loss) {
    const T* y = targets_.values + static_cast<std::ptrdiff_t>(row_) * targets_.stride;
    if (!apart_) return delta_of_row(layer, logits, y, factor, loss);
    const LossRule& rule = net_.loss;
    const Vec<T> constant = broadcast(rule.count == 0 ? T(0) : static_cast<T>(rule.constants[0]));
    const Units<T> target = Units<T>::load(y, layer.fan_out);
    Units<T> delta, losses;
    for (std::size_t v = 0; v < Units<T>::kVectors; ++v) {
      losses.vector[v] = loss_of_output<T>(rule, layer.activation, logits.vector[v], target.vector[v],
                                           constant, broadcast(factor), delta.vector[v]);
    }
    loss = Vec<T>{};
    for (std::size_t j = 0; j < layer.fan_out; ++j) loss += losses.spread(j);
    return delta;
  }

  // The same for outputs that depend on each other or differ: each in a vector of its own, all lanes alike.
  Units<T> delta_of_row(const OnlineLayer<T>& layer, const Units<T>& logits, const T* y, T factor,
                        Vec<T>& loss) {
    Vec<T> inputs[kOnlineUnits], values[kOnlineUnits], yhat[kOnlineUnits], slopes[kOnlineUnits];
    LossLanes<T> lanes{};
    lanes.scale = broadcast(factor);
    lanes.yhat = (T*)yhat;
    lanes.stride = kLanes<T>;
    lanes.rule = net_.loss;
    if (targets_.labels != nullptr) lanes.labels = broadcast(static_cast<T>(targets_.labels[row_]));
    for (std::size_t j = 0; j < layer.fan_out; ++j) inputs[j] = logits.spread(j);
    const std::size_t columns = layer.fan_out / net_.loss.outputs_per_target();
    for (std::size_t j = 0; targets_.values != nullptr && j < columns; ++j) values[j] = broadcast(y[j]);
    lanes.logits = (const T*)inputs, lanes.delta = (T*)slopes, lanes.outputs = layer.fan_out;
    lanes.values = targets_.values == nullptr ? nullptr : (const T*)values;
    loss = loss_lanes(layer.activation, lanes);
    Units<T> delta{};
    for (std::size_t j = 0; j < layer.fan_out; ++j) delta.numbers()[j] = slopes[j][0];
    return delta;
  }

  const TinyNet<T>& net_;
  const Targets<T>& targets_;
  std::size_t row_ = 0;
  OnlineLayer<T> layers_[kOnlineLayers] = {};
  bool apart_;  // each output has its own column of the targets, and the loss no need to see the others
};

// Whether one row a step can be trained on here.
template <class T>
bool online_suits(const TinyNet<T>& net, std::size_t batch_size, const Optimizer& optimizer,
                  const Regularization& settings) {
  bool few_units = net.depth <= kOnlineLayers && net.layers[0].fan_in <= kOnlineUnits;
  for (std::size_t l = 0; few_units && l < net.depth; ++l) {
    few_units = net.layers[l].fan_out <= kOnlineUnits && net.layers[l].dropout == 0;
  }
  const bool plain = optimizer.rule == Rule::sgd && optimizer.momentum == 0 &&
                     !settings.changes_gradients() && settings.max_norm == 0;
  const bool all_trained = net.part_count == 1 && net.parts[0].count == net.size;
  return few_units && batch_size == 1 && plain && all_trained;
}

template <class T, int Depth = 1>
Vec<T> online_train(const TinyNet<T>& net, const Block<T>& block, double lr) {
  if constexpr (Depth < kOnlineLayers) {
    if (net.depth > Depth) return online_train<T, Depth + 1>(net, block, lr);
  }
  OnlineNet<T> online(net, block.targets);
  const Vec<T> losses = online.template train<Depth>(block.x, block.x_stride, block.rows, static_cast<T>(lr));
  online.store_parameters();
  return losses;
}

}  // namespace
}  // namespace chainrule
