// Training of small nets, many minibatches in one call: rows of the minibatch in the lanes of vectors, units
// one below the other; or, of a net with one wide hidden layer and one output, units in the lanes. With rows
// in lanes every vector is full whatever the widths; the output layer's sums, the activations and the loss
// need nothing from other lanes. Only the gradient does: that of a weight is the product of two planes' rows,
// summed.

namespace chainrule {
namespace {

// h[u] = bias[u] + sum_i w[u * unit_step + i * input_step] a[i] for `Units` units and `Vectors` vectors of
// rows.
template <class T, int Units, int Vectors>
inline void weighted_sums(T* h, const T* a, std::size_t stride, const T* w, std::size_t unit_step,
                          std::size_t input_step, const T* bias, std::size_t inputs) {
  Vec<T> sum[Units][Vectors];
  for (int u = 0; u < Units; ++u) {
    for (int v = 0; v < Vectors; ++v) sum[u][v] = bias == nullptr ? Vec<T>{} : broadcast(bias[u]);
  }
  for (std::size_t i = 0; i < inputs; ++i, a += stride, w += input_step) {
    for (int u = 0; u < Units; ++u) {
      const Vec<T> factor = broadcast(w[u * unit_step]);
      for (int v = 0; v < Vectors; ++v) sum[u][v] = multiply_add(factor, load(a + v * kLanes<T>), sum[u][v]);
    }
  }
  for (int u = 0; u < Units; ++u) {
    for (int v = 0; v < Vectors; ++v) store(h + u * stride + v * kLanes<T>, sum[u][v]);
  }
}

template <class T, int Vectors>
inline void weighted_sums(T* h, const T* a, std::size_t stride, const T* w, std::size_t unit_step,
                          std::size_t input_step, const T* bias, std::size_t inputs, std::size_t units) {
  constexpr int most = 4;
  for (std::size_t u = 0; u < units; u += most, h += most * stride, w += most * unit_step) {
    const T* start = bias == nullptr ? nullptr : bias + u;
    switch (units - u) {
      case 1:
        weighted_sums<T, 1, Vectors>(h, a, stride, w, unit_step, input_step, start, inputs);
        break;
      case 2:
        weighted_sums<T, 2, Vectors>(h, a, stride, w, unit_step, input_step, start, inputs);
        break;
      case 3:
        weighted_sums<T, 3, Vectors>(h, a, stride, w, unit_step, input_step, start, inputs);
        break;
      default:
        weighted_sums<T, most, Vectors>(h, a, stride, w, unit_step, input_step, start, inputs);
    }
  }
}

// Sums over rows, in 64 bytes of lanes.
template <class T>
struct LaneSums {
  Vec<T> part[kParts] = {};

  double sum() const {
    double sum = 0;
    for (std::size_t p = 0; p < kParts; ++p) {
      for (std::size_t k = 0; k < kLanes<T>; ++k) sum += static_cast<double>(part[p][k]);
    }
    return sum;
  }
};

// One minibatch: `vectors` vectors of rows in planes of `net.stride` elements a unit.
template <class T>
class TinyPass {
 public:
  TinyPass(const TinyNet<T>& net, const Block<T>& block, std::size_t first, std::size_t rows,
           std::uint64_t step)
      : net_(net),
        rows_(rows),
        vectors_(padded<T>(rows) / kLanes<T>),
        targets_(block.targets),
        draw_{net.seed, step},
        first_row_(block.first_row),
        x_(block.x + static_cast<std::ptrdiff_t>(first) * block.x_stride),
        x_stride_(block.x_stride) {
    if (!net_.units_in_lanes) transpose_rows(net.inputs, x_, x_stride_, net.layers[0].fan_in);
    read_targets(first);
  }

  double weight_sum() const {
    if (targets_.weights == nullptr) return static_cast<double>(rows_);
    double sum = 0;
    for (std::size_t i = 0; i < rows_; ++i) sum += static_cast<double>(targets_.weights[i]);
    return sum;
  }

  void forward() {
    if (net_.units_in_lanes) {
      forward_hidden();
      return;
    }
    const T* a = net_.inputs;
    for (std::size_t l = 0; l < net_.depth; ++l) {
      const Layer& layer = net_.layers[l];
      const TinyPlanes<T>& planes = net_.planes[l];
      sums(planes.activations, a, net_.parameters + layer.weights, 1, layer.fan_out,
           net_.bias ? net_.parameters + layer.biases : nullptr, layer.fan_in, layer.fan_out);
      if (l + 1 < net_.depth) {
        activate(l);
      }
      a = planes.activations;
    }
  }

  // The last layer's activations are its logits: the loss takes its output activation itself.
  void loss(double scale, LaneSums<T>& total) {
    const T factor = static_cast<T>(scale);
    const Layer& layer = net_.layers[net_.depth - 1];
    const TinyPlanes<T>& planes = net_.planes[net_.depth - 1];
    for (std::size_t v = 0; v < vectors_ * kLanes<T>; v += kLanes<T>) {
      const Vec<T> weights = this->weights(v);
      const LossLanes<T> rows{planes.activations + v,
                              targets_.labels == nullptr ? net_.targets + v : nullptr,
                              load(net_.targets + v),
                              net_.yhat + v,
                              planes.deltas + v,
                              weights * factor,
                              net_.stride,
                              layer.fan_out,
                              net_.loss};
      // rows beyond the last hold what was there before: no weight, but perhaps not finite
      total.part[v / kLanes<T> % kParts] += weighed<T>(weights, weights * loss_lanes(layer.activation, rows));
    }
  }

  void backward() {
    if (net_.units_in_lanes) {
      backward_hidden();
      return;
    }
    for (std::size_t l = net_.depth; l-- > 1;) {
      const Layer& layer = net_.layers[l];
      const TinyPlanes<T>& below = net_.planes[l - 1];
      sums(below.deltas, net_.planes[l].deltas, net_.parameters + layer.weights, layer.fan_out, 1, nullptr,
           layer.fan_out, layer.fan_in);
      const T* kept = below.slopes == nullptr ? below.activations : below.slopes;
      activation_backward(net_.layers[l - 1].activation, below.deltas, 0, kept, 0, 1,
                          layer.fan_in * net_.stride, below.slopes != nullptr);
    }
  }

  // Fills the gradients, or adds to them: for each parameter, the products of the rows of two planes.
  void gradients(bool accumulate) {
    if (net_.units_in_lanes) {
      hidden_gradients(accumulate);
      return;
    }
    for (std::size_t p = 0; p < net_.size; p += kLanes<T>) {
      const std::size_t count = net_.size - p < kLanes<T> ? net_.size - p : kLanes<T>;
      const TinyFactors<T>&first = net_.factors[p], &last = net_.factors[p + count - 1];
      Vec<T> products[kLanes<T>];
      // Often a vector's parameters share a row of one plane, and have neighbouring rows of the other. A
      // weight and its unit's bias, too, have the same deltas.
      if (count == kLanes<T> && first.activations == last.activations && is_row(last.deltas, first.deltas)) {
        products_of_neighbours(products, first.activations, first.deltas);
      } else if (p + kLanes<T> <= net_.weight_count && first.deltas == last.deltas &&
                 is_row(last.activations, first.activations)) {
        products_of_neighbours(products, first.deltas, first.activations);
      } else {
        for (std::size_t k = 0; k < kLanes<T>; ++k) {
          products[k] = k < count ? products_of(net_.factors[p + k]) : Vec<T>{};
        }
      }
      const Vec<T> before = accumulate ? load(net_.gradients + p) : Vec<T>{};
      store_most(net_.gradients + p, before + sums_of_lanes<T>(products), count);
    }
  }

 private:
  // Of one wide hidden layer: a padded row of units is a row of its planes. Measured: rows in lanes take 1.4
  // times as long for 8-32-1, a quarter of it transpositions and sums over lanes.
  const T* bias(std::size_t l) const { return net_.bias ? net_.parameters + net_.layers[l].biases : nullptr; }
  T* bias_gradient(std::size_t l) const {
    return net_.bias ? net_.gradients + net_.layers[l].biases : nullptr;
  }

  void forward_hidden() {
    const Layer &hidden = net_.layers[0], &output = net_.layers[1];
    const auto stride = static_cast<std::ptrdiff_t>(padded<T>(hidden.fan_out));
    affine<T>(net_.planes[0].activations, stride, x_, x_stride_, net_.parameters + hidden.weights,
              hidden.fan_out, bias(0), rows_, hidden.fan_in, hidden.fan_out, {hidden.activation});
    affine_one_output(net_.planes[1].activations, 1, net_.planes[0].activations, stride,
                      net_.parameters + output.weights, bias(1), rows_, hidden.fan_out);
  }

  void backward_hidden() {
    const Layer& hidden = net_.layers[0];
    const std::size_t room = padded<T>(hidden.fan_out);
    const T *w = net_.parameters + net_.layers[1].weights, *delta = net_.planes[1].deltas;
    for (std::size_t j = 0; j < hidden.fan_out; j += kLanes<T>) {
      const Vec<T> weights = load_most(w + j, hidden.fan_out - j);
      T* below = net_.planes[0].deltas + j;
      for (std::size_t i = 0; i < rows_; ++i, below += room) store(below, broadcast(delta[i]) * weights);
    }
    activation_backward(hidden.activation, net_.planes[0].deltas, 0, net_.planes[0].activations, 0, 1,
                        rows_ * room, false);
  }

  void hidden_gradients(bool accumulate) {
    const Layer &hidden = net_.layers[0], &output = net_.layers[1];
    const auto stride = static_cast<std::ptrdiff_t>(padded<T>(hidden.fan_out));
    backward_weights(net_.gradients + hidden.weights, bias_gradient(0), x_, x_stride_, net_.planes[0].deltas,
                     stride, rows_, hidden.fan_in, hidden.fan_out, accumulate);
    backward_weights<T>(net_.gradients + output.weights, bias_gradient(1), net_.planes[0].activations, stride,
                        net_.planes[1].deltas, 1, rows_, hidden.fan_out, 1, accumulate);
  }

  void activate(std::size_t l) {
    const Layer& layer = net_.layers[l];
    const TinyPlanes<T>& planes = net_.planes[l];
    if (planes.slopes != nullptr) {
      // A plane is a unit: along it, places go from row to row.
      const Dropout dropout{layer.dropout, keys_of(draw_, l), layer.fan_out, first_row_, 0};
      activate_keeping_slopes(layer.activation, planes.activations, planes.slopes,
                              static_cast<std::ptrdiff_t>(net_.stride), layer.fan_out, net_.stride, dropout,
                              {first_row_ * layer.fan_out, 1, layer.fan_out});
      return;
    }
    with_activation<T>(layer.activation, [&](auto function) {
      map(planes.activations, planes.activations, layer.fan_out * net_.stride,
          [](Vec<T> h) { return decltype(function)::value(h); });
    });
  }

  // Whether `last` is as many rows after `first` as a vector has lanes, less one.
  bool is_row(const T* last, const T* first) const {
    return last == first + static_cast<std::ptrdiff_t>((kLanes<T> - 1) * net_.stride);
  }

  void products_of_neighbours(Vec<T> (&products)[kLanes<T>], const T* shared, const T* rows) const {
    Vec<T> parts[kLanes<T>][kParts] = {};
    for (std::size_t v = 0; v < vectors_; v += kParts) {
      for (std::size_t part = 0; part < kParts; ++part) {
        const std::size_t from = (v + part) * kLanes<T>;
        const Vec<T> factor = load(shared + from);
        const T* row = rows + from;
#pragma GCC unroll 16
        for (std::size_t k = 0; k < kLanes<T>; ++k, row += net_.stride) {
          parts[k][part] = multiply_add(factor, load(row), parts[k][part]);
        }
      }
    }
    for (std::size_t k = 0; k < kLanes<T>; ++k) products[k] = sum_of_parts<T>(parts[k]);
  }

  Vec<T> products_of(const TinyFactors<T>& factors) const {
    Vec<T> parts[kParts] = {};
    for (std::size_t v = 0; v < vectors_; ++v) {
      const std::size_t from = v * kLanes<T>;
      parts[v % kParts] =
          multiply_add(load(factors.activations + from), load(factors.deltas + from), parts[v % kParts]);
    }
    return sum_of_parts<T>(parts);
  }

  void sums(T* h, const T* a, const T* w, std::size_t unit_step, std::size_t input_step, const T* bias,
            std::size_t inputs, std::size_t units) {
    std::size_t v = 0;
    for (; v + 2 <= vectors_; v += 2) {
      weighted_sums<T, 2>(h + v * kLanes<T>, a + v * kLanes<T>, net_.stride, w, unit_step, input_step, bias,
                          inputs, units);
    }
    if (v == vectors_) return;
    weighted_sums<T, 1>(h + v * kLanes<T>, a + v * kLanes<T>, net_.stride, w, unit_step, input_step, bias,
                        inputs, units);
  }

  void transpose_rows(T* to, const T* from, std::ptrdiff_t from_stride, std::size_t columns) {
    if (columns >= kLanes<T> / 2) {
      transpose(to, static_cast<std::ptrdiff_t>(net_.stride), rows_, from, from_stride, rows_, columns);
      return;
    }
    for (std::size_t j = 0; j < columns; ++j, to += net_.stride) {
      const T* next = from + j;
#pragma GCC unroll 8
      for (std::size_t i = 0; i < rows_; ++i, next += from_stride) to[i] = *next;
    }
  }

  void read_targets(std::size_t first) {
    if (targets_.labels != nullptr) {
      for (std::size_t i = 0; i < rows_; ++i) net_.targets[i] = static_cast<T>(targets_.labels[first + i]);
    } else {
      transpose_rows(net_.targets, targets_.values + static_cast<std::ptrdiff_t>(first) * targets_.stride,
                     targets_.stride, net_.layers[net_.depth - 1].fan_out / net_.loss.outputs_per_target());
    }
    if (targets_.weights != nullptr) targets_.weights += first;
  }

  // The weights of the vector of rows from `row` on; zero beyond the last row.
  Vec<T> weights(std::size_t row) const {
    const std::size_t left = rows_ > row ? rows_ - row : 0;
    if (targets_.weights != nullptr) return load_most(targets_.weights + row, left);
    return select<T>(first_lanes<T>(left), broadcast(T(1)), Vec<T>{});
  }

  const TinyNet<T>& net_;
  std::size_t rows_;
  std::size_t vectors_;
  Targets<T> targets_;
  Draw draw_;
  std::size_t first_row_;
  const T* x_;
  std::ptrdiff_t x_stride_;
};

template <class T>
double tiny_gradient(const TinyNet<T>& net, const Block<T>& block, double scale, bool accumulate,
                     std::uint64_t step) {
  TinyPass<T> pass(net, block, 0, block.rows, step);
  pass.forward();
  LaneSums<T> losses;
  pass.loss(scale, losses);
  pass.backward();
  pass.gradients(accumulate);
  return losses.sum();
}

// Moves the parameters by their gradients.
template <class T>
bool tiny_update(const TinyNet<T>& net, const Regularization& settings, const Update<T>& step) {
  if (settings.changes_gradients()) {
    // Clipping would make any number finite.
    if (settings.clips() && !all_finite(net.gradients, net.size)) return false;
    regularize(net.gradients, net.parameters, settings, net.weight_count, net.size);
  }
  for (std::size_t p = 0; p < net.part_count; ++p) {
    const Part& part = net.parts[p];
    if (!update(net.parameters + part.first, net.gradients + part.first, step.of(part), part.count))
      return false;
  }
  for (std::size_t l = 0; settings.max_norm != 0 && l < net.depth; ++l) {
    const Layer& layer = net.layers[l];
    limit_columns(net.parameters + layer.weights, settings.max_norm, layer.fan_in, layer.fan_out);
  }
  return true;
}

template <class T>
bool tiny_train(const TinyNet<T>& net, const Block<T>& block, std::size_t batch_size,
                const Regularization& settings, Update<T>& step, double& loss, double& penalties) {
  if (online_suits(net, batch_size, step.optimizer, settings)) {
    loss = static_cast<double>(online_train(net, block, step.optimizer.lr)[0]);
    step.t += block.rows;
    return loss - loss == 0 && all_finite(net.parameters, net.size);
  }
  LaneSums<T> losses;
  for (std::size_t first = 0; first < block.rows; first += batch_size) {
    const std::size_t left = block.rows - first;
    penalties += penalty(net.parameters, settings, net.weight_count, net.size);
    TinyPass<T> pass(net, block, first, left < batch_size ? left : batch_size, step.t);
    pass.forward();
    const double weight_sum = pass.weight_sum();
    pass.loss(gradient_scale(net.reduction, weight_sum), losses);
    pass.backward();
    pass.gradients(false);
    advance(step);
    if (!tiny_update(net, settings.of_minibatch(weight_sum), step)) return false;
  }
  loss = losses.sum();
  return loss - loss == 0 && all_finite(net.parameters, net.size);
}

}  // namespace
}  // namespace chainrule
