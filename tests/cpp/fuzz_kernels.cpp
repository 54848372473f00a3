// Random shapes, strides, formulas and constants through every kernel, on each instruction set of this
// processor: against plain loops in doubles, and, where both fuse multiply-adds, to the same bits.
//   fuzz_kernels SECONDS [SEED]      tries case after case
//   fuzz_kernels 0 SEED CASE         tries one again
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "fuzz_case.hpp"

namespace chainrule::test {
namespace {

template <class T>
void run(Case<T> one, std::uint64_t which) {
  using Of = Case<T>;
  using Try = void (Of::*)();
  constexpr Try tries[] = {
      &Of::affine,     &Of::backward_input, &Of::backward_weights, &Of::activations,
      &Of::softmax,    &Of::loss,           &Of::update,           &Of::descend,
      &Of::regularize, &Of::limit_columns,  &Of::magnitude,        &Of::all_finite,
      &Of::noise,      &Of::penalty,        &Of::sparse,           &Of::penalized_update};
  (one.*tries[which % std::size(tries)])();
}

void run_case(Trial& trial) {
  Philox random(trial.seed, trial.number);
  const std::uint64_t drawn = random.next();
  if (drawn % 2 == 0) {
    run(Case<float>(trial, random), drawn / 2);
  } else {
    run(Case<double>(trial, random), drawn / 2);
  }
}

}  // namespace
}  // namespace chainrule::test

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  chainrule::test::Trial trial;
  trial.seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  trial.number = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  const std::uint64_t first = trial.number;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  do {
    chainrule::test::run_case(trial);
    ++trial.number;
  } while (Clock::now() < end);
  for (const auto* set : chainrule::runnable_kernel_sets()) std::printf("%s ", set->isa);
  std::printf("\nseed %llu: %llu cases, %zu findings\n", static_cast<unsigned long long>(trial.seed),
              static_cast<unsigned long long>(trial.number - first), trial.failures);
  return trial.failures > 0 ? 1 : 0;
}
