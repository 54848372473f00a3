// Training: minibatches, epochs, and when to stop.
#pragma once

#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "chainrule/evaluate.hpp"
#include "chainrule/random.hpp"
#include "chainrule/tiny.hpp"
#include "chainrule/update.hpp"

namespace chainrule {

// One minibatch step: gradient in chunks, penalty, update.
template <class T>
class Stepper {
 public:
  // For batches, and data sets to evaluate, of up to `rows` rows.
  Stepper(Net<T>& net, std::size_t rows, std::size_t threads = 1, Interrupt interrupt = {});

  // From here on, rows go in the lanes of vectors, if that suits the net and minibatches of that size.
  // Faster, but sums are taken in another order than by separate forward and backward passes.
  void put_rows_in_lanes(std::size_t batch_size);

  // Fills the net's gradients from the batch, and returns the sum of its losses. `step` is the number of
  // steps before: it chooses what is dropped. Throws Interrupted.
  LossSum gradient(const Dataset& data, const Batch& batch, std::uint64_t step = 0);
  // Then moves the parameters. Throws Divergence, changing no parameter, if the loss or gradient is not
  // finite.
  LossSum step(const Dataset& data, const Batch& batch, OptimizerState<T>& state, const Optimizer& optimizer,
               const Regularization& settings);

  // Takes the steps of all minibatches of up to a chunk of rows at once. Returns nothing, having done
  // nothing, where that cannot be done or diverges: then `step` tells. The minibatches' penalties per weight
  // are added to `penalty`. Throws Interrupted.
  std::optional<LossSum> steps(const Dataset& data, const Batch& batches, std::size_t batch_size,
                               OptimizerState<T>& state, const Optimizer& optimizer,
                               const Regularization& settings, double& penalty);

  double weight_sum(const Dataset& data) { return reader_.weight_sum(data, {0, data.x.rows}); }
  // The sum of the losses on other data; changes nothing. Throws Interrupted.
  LossSum evaluate(const Dataset& data) {
    return chainrule::evaluate(net_, data, space_, reader_, interrupt_);
  }

 private:
  bool streams_updates(const Dataset& data, const Batch& batch, const Regularization& settings) const;
  LossSum deltas(const Dataset& data, const Batch& batch, std::uint64_t step);
  // Stores or adds a chunk's gradient; returns the sum of its losses.
  double gradient(const Block<T>& block, double scale, bool accumulate, std::uint64_t step);

  Net<T>& net_;
  Workspace<T> space_;
  BlockReader<T> reader_;
  Block<T> block_;    // that `deltas` are of
  Buffer<T> panels_;  // of a layer's deltas
  Buffer<T> noise_;
  std::optional<Tiny<T>> tiny_;
  Interrupt interrupt_;
};

struct FitOptions {
  Optimizer optimizer;
  std::size_t batch_size = 32;
  bool shuffle = true;
  std::uint64_t seed = 0;
  Regularization regularization = {};
  double tol = 0;
  std::size_t patience = 0;                                     // 0: none
  std::size_t threads = 1;                                      // at most
  double time_limit = std::numeric_limits<double>::infinity();  // seconds, from the trainer's construction
  bool judged_outside = false;  // by another measure than the losses: the owner calls `judge`
};

enum class Stop { none, converged, patience, time, interrupted };

// How far the training of a net has come: whole epochs, and the rows of one that was left in between. A fit
// of as many rows, in minibatches of the same size and order, goes on where that one stopped.
struct Progress {
  std::uint64_t epochs = 0;
  std::size_t rows_done = 0;
  LossSum sum;
  std::size_t rows = 0;
  std::size_t batch_size = 0;
  bool shuffled = false;

  // Begins an epoch, or goes on with one like it.
  void resume(std::size_t rows_now, std::size_t batch_size_now, bool shuffled_now);
  void add(std::size_t more_rows, const LossSum& of_them);
  void begin_anew();
  void end_epoch();
};

// One fit: runs epochs, in as many calls as its owner likes, and remembers the best.
template <class T>
class Trainer {
 public:
  // `interrupted` is asked a few dozen times a second whether to stop.
  Trainer(Net<T>& net, OptimizerState<T>& state, const Dataset& training,
          const std::optional<Dataset>& validation, const FitOptions& options,
          const std::function<bool()>& interrupted);

  // Runs an epoch with each of the learning rates, appending its losses. The net's lifetime count of epochs
  // chooses the order of the rows. Throws Divergence, after which the epoch begins anew.
  Stop run(const double* rates, std::size_t epochs, Progress& progress);

  // Whether to stop after an epoch with that loss, or other measure that is the better the less it is.
  Stop judge(double loss);

  // Puts back the parameters of the epoch with the lowest validation loss, if patience kept them. They have
  // not seen the rows of an epoch in progress, which begins anew.
  void restore_best(Progress& progress);

  const std::vector<double>& losses() const { return losses_; }
  // The epochs' penalties l2 sum w^2 / 2, as their losses are taken, if they are per weight, else none: means
  // over the rows that one call of `run` went through.
  const std::vector<double>& penalties() const { return penalties_; }
  const std::vector<double>& validation_losses() const { return validation_losses_; }

 private:
  void run_epoch(Progress& progress);
  void run_batches(const Batch& batches, Progress& progress);
  LossSum counted(const LossSum& sum, std::size_t rows, double penalty);
  void check_time() const;
  void check_weight(const Progress& progress);

  Net<T>& net_;
  OptimizerState<T>& state_;
  Dataset training_;
  std::optional<Dataset> validation_;
  FitOptions options_;
  Stepper<T> stepper_;
  Permutation permutation_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::vector<double> losses_;
  std::vector<double> penalties_;
  std::vector<double> validation_losses_;
  Buffer<T> best_parameters_;
  bool weighed_;            // each minibatch's loss and penalty, by a weight of its own
  double penalty_sum_ = 0;  // of the epoch's rows so far
  std::size_t penalized_rows_ = 0;
  double best_loss_ = std::numeric_limits<double>::infinity();
  std::size_t epochs_without_improvement_ = 0;
};

}  // namespace chainrule
