// What a fit allocates: all of it in the first epoch, and as much for any number of rows and epochs but for
// the losses that it hands back.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <optional>

#include "chainrule/trainer.hpp"
#include "check.hpp"
#include "problem.hpp"

namespace chainrule {
namespace {

// Of all that came through operator new, as arenas and containers do; what was freed again is not taken off.
struct Allocated {
  std::size_t calls = 0;
  std::size_t bytes = 0;
};

std::atomic<std::size_t> calls{0}, bytes{0};

void* allocate(std::size_t size, std::size_t alignment) {
  ++calls;
  bytes += size;
  void* data = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace
}  // namespace chainrule

void* operator new(std::size_t size) { return chainrule::allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return chainrule::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

namespace chainrule {
namespace {

struct Case {
  NetConfig net;
  std::size_t batch_size;
  bool shuffle;
  bool patience;  // with validation rows, and the best parameters kept
};

constexpr std::size_t kValidationRows = 400;
constexpr std::size_t kMoments = 2;  // of Adam

bool never() { return false; }

// What one fit allocates, from its first line to its last.
template <class T>
Allocated fit(const Case& c, std::size_t rows, std::size_t epochs) {
  test::Problem<T> problem(c.net, rows);
  const test::Problem<T> held_out(c.net, kValidationRows);
  const Dataset training = problem.dataset();
  std::optional<Dataset> validation;
  if (c.patience) validation = held_out.dataset();
  FitOptions options{{Rule::adam, 1e-4}, c.batch_size, c.shuffle};
  options.patience = c.patience ? epochs : 0;

  const std::vector<double> rates(epochs, 1e-4);
  const std::size_t calls_before = calls, bytes_before = bytes;
  OptimizerState<T> state;
  Trainer<T> trainer(problem.net, state, training, validation, options, never);
  Progress progress;
  CHECK(trainer.run(rates.data(), epochs, progress) == Stop::none);
  trainer.restore_best(progress);
  return {calls - calls_before, bytes - bytes_before};
}

// The order of an epoch is a list where there are not many rows.
std::size_t list_bytes(const Case& c, std::size_t rows) {
  return c.shuffle && rows <= Permutation::kListed ? rows * sizeof(std::uint32_t) : 0;
}

// More epochs and more rows take nothing more, but for the losses and the list; and those in no further call.
template <class T>
void test_growth(const Case& c, std::size_t rows) {
  constexpr std::size_t epochs = 4;
  const Allocated once = fit<T>(c, rows, 1), often = fit<T>(c, rows, epochs), more = fit<T>(c, 2 * rows, 1);
  const std::size_t losses = c.patience ? 2 : 1;  // an epoch
  CHECK(often.calls == once.calls);
  CHECK(often.bytes == once.bytes + (epochs - 1) * losses * sizeof(double));
  CHECK(more.calls == once.calls);
  CHECK(more.bytes == once.bytes + list_bytes(c, 2 * rows) - list_bytes(c, rows));
}

// In all: moments, the best parameters, a chunk of rows with activations and deltas, and a fixed workspace.
template <class T>
void test_total(const Case& c, std::size_t rows) {
  constexpr std::size_t fixed = std::size_t{1} << 16;
  const Net<T> net(c.net);
  std::size_t columns = net.features() + 3 * net.outputs();  // inputs; targets, weights and logits
  std::size_t widest = 0;
  for (const Layer& layer : net.layers()) {
    columns += 2 * row_stride<T>(layer.fan_out);
    widest = std::max(widest, layer.fan_out);
  }
  columns += panel_room<T>(widest);  // where updates are streamed
  const std::size_t arenas = kMoments + (c.patience ? 1 : 0);
  const std::size_t parameters = arenas * net.parameters().size() * sizeof(T);
  const std::size_t total = fit<T>(c, rows, 1).bytes;
  CHECK(total >= parameters);  // or the arenas have gone another way
  CHECK(total <= parameters + kChunkRows * columns * sizeof(T) + list_bytes(c, rows) + fixed);
}

template <class T>
void test_case(const Case& c) {
  test_growth<T>(c, 310);
  test_total<T>(c, 310);
}

}  // namespace
}  // namespace chainrule

int main() {
  using namespace chainrule;
  const NetConfig tiny{{3, 4, 1}, {Activation::sigmoid, Activation::sigmoid}};
  const NetConfig medium{
      {64, 128, 128, 10}, {Activation::relu, Activation::relu, Activation::softmax}, Loss::cross_entropy};
  fit<float>({medium, 300, false, false}, 600, 1);  // what a process does once: the kernels are chosen
  for (const NetConfig& net : {tiny, medium}) {
    for (const std::size_t batch_size : {1, 32, 300}) {
      for (const bool shuffle : {false, true}) {
        for (const bool patience : {false, true}) {
          test_case<float>({net, batch_size, shuffle, patience});
          test_case<double>({net, batch_size, shuffle, patience});
        }
      }
    }
  }
  const NetConfig streamed{{20, 600, 500, 3}, {Activation::tanh, Activation::tanh, Activation::identity}};
  test_case<float>({streamed, 32, true, true});
  test_case<double>({streamed, 256, true, false});
  test_growth<float>({tiny, 32, true, false}, Permutation::kListed + 1);  // no list
  return test::failures();
}
