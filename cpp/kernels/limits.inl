// What the processor can do at best, for the benchmark to hold the other kernels against: multiply-adds in
// registers, and a stream through memory. Not here: clocks; whoever calls takes the time.

namespace chainrule {
namespace {

// A multiply-add must wait for the one before it in its chain, so as many chains as registers allow (16 hide
// 4 cycles on 4 units), each from another start, or the compiler would keep only one.
template <class T, std::size_t... Chain>
MultiplyAdds<T> chains_of_multiply_adds(T factor, std::size_t rounds, Indices<Chain...>) {
  Vec<T> x[] = {broadcast(static_cast<T>(Chain))...};
  const Vec<T> a = broadcast(factor), b = broadcast(1 - factor);
  for (std::size_t r = 0; r < rounds; ++r) ((x[Chain] = multiply_add(x[Chain], a, b)), ...);
  T sum = 0;
  for (const Vec<T>& chain : x) {
    for (std::size_t i = 0; i < kLanes<T>; ++i) sum += chain[i];
  }
  return {rounds * sizeof...(Chain) * kLanes<T>, sum};
}

template <class T>
MultiplyAdds<T> multiply_adds(T factor, std::size_t rounds) {
  using Chains = typename CountedIndices<CHAINRULE_REGISTERS - 4>::type;
  return chains_of_multiply_adds(factor, rounds, Chains{});
}

template <class T>
void triad(T* y, const T* x, const T* z, T factor, std::size_t size) {
  const Vec<T> a = broadcast(factor);
  std::size_t i = 0;
  for (; i + kLanes<T> <= size; i += kLanes<T>) store(y + i, multiply_add(a, load(z + i), load(x + i)));
  for (; i < size; ++i) y[i] = multiply_add(factor, z[i], x[i]);
}

}  // namespace
}  // namespace chainrule
