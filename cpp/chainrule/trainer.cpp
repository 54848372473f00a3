#include "chainrule/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "chainrule/denormals.hpp"
#include "chainrule/dispatch.hpp"

namespace chainrule {
namespace {

// Makes room for the losses of so many more epochs, so that none of them allocates. Beyond some thousands, a
// vector's own doubling costs less than the room that a fit of a billion epochs would ask for and never use.
void make_room(std::vector<double>& losses, std::size_t epochs) {
  constexpr std::size_t most = 4096;
  const std::size_t needed = losses.size() + std::min(epochs, most);
  if (needed > losses.capacity()) losses.reserve(std::max(needed, 2 * losses.capacity()));
}

}  // namespace

template <class T>
Stepper<T>::Stepper(Net<T>& net, std::size_t rows, std::size_t threads, Interrupt interrupt)
    : net_(net), space_(net, std::min(rows, kChunkRows)), interrupt_(std::move(interrupt)) {
  space_.use_threads(threads);
}

template <class T>
void Stepper<T>::put_rows_in_lanes(std::size_t batch_size) {
  if (Tiny<T>::suits(net_, batch_size)) tiny_.emplace(net_, std::min(batch_size, kChunkRows));
}

template <class T>
LossSum Stepper<T>::gradient(const Dataset& data, const Batch& batch, std::uint64_t step) {
  LossSum sum{0, reader_.weight_sum(data, batch)};
  const double scale = gradient_scale(net_.reduction(), sum.weight);
  for_each_chunk(batch, [&](const Batch& chunk) {
    Block<T> block = reader_.read(data, chunk);
    block.first_row = chunk.first - batch.first;
    block = with_input_noise(net_, block, block.rows, step, noise_);
    reader_.add_columns(block, net_.features());
    sum.loss += gradient(block, scale, chunk.first != batch.first, step);
  });
  return sum;
}

template <class T>
double Stepper<T>::gradient(const Block<T>& block, double scale, bool accumulate, std::uint64_t step) {
  const FlushDenormals flush;
  if (tiny_) {
    interrupt_.check(3 * net_.forward_operations(block.rows));
    return tiny_->gradient(block, scale, accumulate, step);
  }
  forward(space_, net_, block, false, 0, interrupt_, Pass::training, step);
  return backward(space_, net_, block, scale, accumulate, 0, interrupt_);
}

// Whether parameters are best moved piece by piece, as soon as their gradients are complete: where they and
// what belongs to them do not stay in the second-level cache, the gradients need not go through memory.
template <class T>
bool Stepper<T>::streams_updates(const Dataset& data, const Batch& batch,
                                 const Regularization& settings) const {
  constexpr std::size_t cached = std::size_t{1} << 20;
  // Updates are not interrupted: they must not take longer than a user who pressed Ctrl-C waits.
  constexpr double most_operations = 4e9;
  return !tiny_ && batch.count <= kChunkRows && !is_mostly_zero(data.x) && settings.l1 == 0 &&
         !settings.clips() && net_.parameters().size() * sizeof(T) > cached &&
         net_.forward_operations(batch.count) < most_operations;
}

// The losses and deltas of a batch of one chunk.
template <class T>
LossSum Stepper<T>::deltas(const Dataset& data, const Batch& batch, std::uint64_t step) {
  const FlushDenormals flush;
  LossSum sum{0, reader_.weight_sum(data, batch)};
  block_ = with_input_noise(net_, reader_.read(data, batch), batch.count, step, noise_);
  forward(space_, net_, block_, false, 0, interrupt_, Pass::training, step);
  sum.loss = output_deltas(space_, net_, block_, gradient_scale(net_.reduction(), sum.weight));
  backward_deltas(space_, net_, batch.count, 0, interrupt_);
  return sum;
}

template <class T>
LossSum Stepper<T>::step(const Dataset& data, const Batch& batch, OptimizerState<T>& state,
                         const Optimizer& optimizer, const Regularization& settings) {
  state.begin(optimizer);
  const bool streams = streams_updates(data, batch, settings);
  const LossSum sum = streams ? deltas(data, batch, state.steps()) : gradient(data, batch, state.steps());
  if (!std::isfinite(sum.loss)) throw Divergence("the loss is not finite");
  Regularization own = settings.of_minibatch(sum.weight);
  Optimizer rule = optimizer;
  own.leave_l2_to(rule);
  const FlushDenormals flush;
  const Kernels<T>& kernel = kernels<T>();
  T *w = net_.parameters().data(), *g = net_.gradients().data();
  const std::size_t size = net_.parameters().size();
  if (streams && gradients_are_bounded(space_, net_, block_)) {
    std::size_t widest = 0;
    for (const Layer& layer : net_.layers()) widest = std::max(widest, layer.fan_out);
    panels_.reserve(batch.count * panel_room<T>(widest));
    state.step(net_, rule, [this](std::size_t l, const LayerUpdate<T>& update) {
      return descend(space_, net_, block_, l, update, panels_.data());
    });
  } else {
    if (streams) gradients(space_, net_, block_, false, 0, interrupt_);
    if (own.changes_gradients()) {
      // Clipping would make any number finite.
      if (own.clips() && !kernel.all_finite(g, size)) throw Divergence("the gradient is not finite");
      kernel.regularize(g, w, own, net_.weight_count(), size);
    }
    state.step(net_, rule, space_.threads());
  }
  for (std::size_t l = 0; settings.max_norm != 0 && l < net_.layers().size(); ++l) {
    const Layer& layer = net_.layers()[l];
    if (!net_.frozen(l))
      kernel.limit_columns(w + layer.weights, settings.max_norm, layer.fan_in, layer.fan_out);
  }
  return sum;
}

template <class T>
std::optional<LossSum> Stepper<T>::steps(const Dataset& data, const Batch& batches, std::size_t batch_size,
                                         OptimizerState<T>& state, const Optimizer& optimizer,
                                         const Regularization& settings, double& penalty) {
  if (!tiny_ || batches.count > kChunkRows) return std::nullopt;
  interrupt_.check(3 * net_.forward_operations(batches.count));
  state.begin(optimizer);
  LossSum sum{0, reader_.weight_sum(data, batches)};
  const Block<T> block =
      with_input_noise(net_, reader_.read(data, batches), batch_size, state.steps(), noise_);
  {
    const FlushDenormals flush;
    if (!tiny_->train(block, batch_size, state, optimizer, settings, sum.loss, penalty)) return std::nullopt;
  }
  return sum;
}

template <class T>
Trainer<T>::Trainer(Net<T>& net, OptimizerState<T>& state, const Dataset& training,
                    const std::optional<Dataset>& validation, const FitOptions& options,
                    const std::function<bool()>& interrupted)
    : net_(net),
      state_(state),
      training_(training),
      validation_(validation),
      options_(options),
      stepper_(net, std::max(options.batch_size, validation ? validation->x.rows : 0), options.threads,
               Interrupt(interrupted)) {
  options_.batch_size = std::min(options.batch_size, training.x.rows);
  weighed_ = options_.regularization.per_weight && training.weights;
  // One batch of all the rows needs no order, and is read in place.
  options_.shuffle = options.shuffle && options_.batch_size < training.x.rows;
  stepper_.put_rows_in_lanes(options_.batch_size);
}

void Progress::resume(std::size_t rows_now, std::size_t batch_size_now, bool shuffled_now) {
  if (rows == rows_now && batch_size == batch_size_now && shuffled == shuffled_now) return;
  *this = {epochs, 0, {}, rows_now, batch_size_now, shuffled_now};
}

void Progress::add(std::size_t more_rows, const LossSum& of_them) {
  rows_done += more_rows;
  sum.add(of_them);
}

void Progress::begin_anew() { rows_done = 0, sum = {}; }

void Progress::end_epoch() { *this = {epochs + 1, 0, {}, rows, batch_size, shuffled}; }

namespace {

// Thrown when the time for a fit is over.
struct TimeIsUp {};

}  // namespace

template <class T>
void Trainer<T>::check_time() const {
  if (options_.time_limit == std::numeric_limits<double>::infinity()) return;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  if (passed.count() >= options_.time_limit) throw TimeIsUp{};
}

template <class T>
void Trainer<T>::run_epoch(Progress& progress) {
  const std::size_t rows = training_.x.rows;
  progress.resume(rows, options_.batch_size, options_.shuffle);
  penalty_sum_ = 0, penalized_rows_ = 0;
  if (options_.shuffle) permutation_.reset(options_.seed, progress.epochs, rows);
  // Small minibatches are read, and where they can be trained on, several at once; they have one sum of
  // losses.
  const std::size_t several = std::max(kChunkRows / options_.batch_size, std::size_t{1});
  const std::size_t group = (weighed_ ? 1 : several) * options_.batch_size;
  while (progress.rows_done < rows) {
    check_time();
    // From within a group, to its end: the groups are part of the losses' last bits.
    const std::size_t first = progress.rows_done, end = std::min(first / group * group + group, rows);
    const Batch batches{first, end - first, options_.shuffle ? &permutation_ : nullptr};
    double penalty = 0;
    const auto steps = stepper_.steps(training_, batches, options_.batch_size, state_, options_.optimizer,
                                      options_.regularization, penalty);
    if (steps) {
      progress.add(batches.count, counted(*steps, batches.count, penalty));
    } else {
      run_batches(batches, progress);
    }
  }
}

// What minibatches add to the epoch's loss, and to its penalty.
template <class T>
LossSum Trainer<T>::counted(const LossSum& sum, std::size_t rows, double penalty) {
  const auto count = static_cast<double>(rows);
  const double rows_per_weight = weighed_ && sum.weight != 0 ? count / sum.weight : 1;
  penalty_sum_ += penalty * rows_per_weight;
  penalized_rows_ += rows;
  return weighed_ && sum.weight != 0 ? LossSum{sum.loss * rows_per_weight, count} : sum;
}

template <class T>
void Trainer<T>::run_batches(const Batch& batches, Progress& progress) {
  const Regularization& settings = options_.regularization;
  for (std::size_t offset = 0; offset < batches.count; offset += options_.batch_size) {
    const Batch batch{batches.first + offset, std::min(options_.batch_size, batches.count - offset),
                      batches.order};
    check_time();
    const double penalty = kernels<T>().penalty(net_.parameters().data(), settings, net_.weight_count(),
                                                net_.parameters().size());
    try {
      const LossSum sum = stepper_.step(training_, batch, state_, options_.optimizer, settings);
      progress.add(batch.count, counted(sum, batch.count, penalty));
    } catch (const Divergence& divergence) {
      throw Divergence("training diverged in epoch " + std::to_string(losses_.size() + 1) + ", batch " +
                       std::to_string(batch.first / options_.batch_size + 1) + ": " + divergence.what());
    }
  }
}

// Weights of which one at least was not 0 when the fit began may all be 0 by now.
template <class T>
void Trainer<T>::check_weight(const Progress& progress) {
  if (progress.sum.weight != 0 || stepper_.weight_sum(training_) != 0) return;
  throw Divergence("training diverged in epoch " + std::to_string(losses_.size() + 1) +
                   ", batch 1: the weights of all rows are 0");
}

template <class T>
Stop Trainer<T>::run(const double* rates, std::size_t epochs, Progress& progress) {
  make_room(losses_, epochs);
  const bool penalized = options_.regularization.per_weight;
  if (penalized) make_room(penalties_, epochs);
  if (validation_) make_room(validation_losses_, epochs);
  try {
    for (std::size_t e = 0; e < epochs; ++e) {
      options_.optimizer.lr = rates[e];
      run_epoch(progress);
      check_weight(progress);
      const double loss = progress.sum.reduced(net_.reduction());
      // Both losses or none: an epoch whose validation is interrupted ends in the next fit.
      if (validation_)
        validation_losses_.push_back(stepper_.evaluate(*validation_).reduced(net_.reduction()));
      losses_.push_back(loss);
      // An epoch of which the last call had completed all batches has no rows here.
      const auto rows = static_cast<double>(std::max(penalized_rows_, std::size_t{1}));
      if (penalized) penalties_.push_back(penalty_sum_ / rows);
      progress.end_epoch();
      if (options_.judged_outside) continue;
      const Stop stop = judge(validation_ ? validation_losses_.back() : loss);
      if (stop != Stop::none) return stop;
    }
  } catch (const Interrupted&) {
    return Stop::interrupted;
  } catch (const TimeIsUp&) {
    return Stop::time;
  } catch (const Divergence&) {
    progress.begin_anew();
    throw;
  }
  return Stop::none;
}

template <class T>
Stop Trainer<T>::judge(double loss) {
  if (options_.patience == 0) {
    const std::size_t epochs = losses_.size();
    const bool settled = options_.tol > 0 && !options_.judged_outside && epochs > 1 &&
                         std::abs(losses_[epochs - 1] - losses_[epochs - 2]) <= options_.tol;
    return settled ? Stop::converged : Stop::none;
  }
  if (loss < best_loss_ - options_.tol) {
    best_loss_ = loss;
    epochs_without_improvement_ = 0;
    if (validation_ || options_.judged_outside) {
      best_parameters_.reserve(net_.parameters().size());
      std::memcpy(best_parameters_.data(), net_.parameters().data(), net_.parameters().size() * sizeof(T));
    }
    return Stop::none;
  }
  return ++epochs_without_improvement_ >= options_.patience ? Stop::patience : Stop::none;
}

template <class T>
void Trainer<T>::restore_best(Progress& progress) {
  if (best_parameters_.size() == 0) return;
  std::memcpy(net_.parameters().data(), best_parameters_.data(), net_.parameters().size() * sizeof(T));
  progress.begin_anew();
}

template class Stepper<float>;
template class Stepper<double>;
template class Trainer<float>;
template class Trainer<double>;

}  // namespace chainrule
