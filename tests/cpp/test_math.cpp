// exp, log, sigmoid and tanh of every instruction set are within 2 ulp of the truth.
// Every 1009th float is tried; `test_math 1` tries all of them, which takes some minutes for each function.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "chainrule/dispatch.hpp"
#include "check.hpp"

namespace chainrule {
namespace {

constexpr std::size_t kBlock = 1000;  // no multiple of a vector: rests are tested as well

// The distance in units of the last place of the true value, rounded to T; half a unit also stands for less.
template <class T, class Wide>
double ulps(T got, Wide truth) {
  if (std::isnan(truth)) return std::isnan(got) ? 0 : 1e9;
  const T nearest = static_cast<T>(truth);
  if (got == nearest) return 0.5;  // most are, and need no more time
  if (std::isinf(nearest) || std::isinf(got)) {
    const bool beside =
        std::abs(truth) >= std::numeric_limits<T>::max() && std::abs(got) >= std::numeric_limits<T>::max();
    return beside ? 1 : 1e9;
  }
  int exponent;
  std::frexp(truth, &exponent);
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  const Wide ulp = std::ldexp(Wide{1}, exponent - std::numeric_limits<T>::digits);
  return static_cast<double>(std::abs(static_cast<Wide>(got) - truth) / ulp);
}

template <class T, class Wide>
struct Case {
  const char* name;
  void (*fast)(const Kernels<T>&, T*, const T*, std::size_t);
  Wide (*truth)(Wide);
};

template <class T, Activation kActivation>
void activate(const Kernels<T>& kernels, T* y, const T* x, std::size_t size) {
  const auto stride = static_cast<std::ptrdiff_t>(size);
  kernels.activate(kActivation, y, stride, x, stride, 1, size);
}

template <class T, class Wide>
constexpr Case<T, Wide> kCases[] = {
    {"exp", [](const Kernels<T>& k, T* y, const T* x, std::size_t n) { k.exp(y, x, n); },
     [](Wide x) { return std::exp(x); }},
    {"log", [](const Kernels<T>& k, T* y, const T* x, std::size_t n) { k.log(y, x, n); },
     [](Wide x) { return std::log(x); }},
    {"sigmoid", activate<T, Activation::sigmoid>,
     [](Wide x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }},
    {"tanh", activate<T, Activation::tanh>, [](Wide x) { return std::tanh(x); }},
};

// Tries the numbers whose bits are first, first + stride, ...
template <class T, class Wide, class Bits>
void test_function(const char* isa, const Kernels<T>& kernels, const Case<T, Wide>& function, Bits stride) {
  double worst = 0;
  T at = 0;
  std::vector<T> x(kBlock), y(kBlock);
  Bits bits = 0;
  for (bool done = false; !done;) {
    for (std::size_t i = 0; i < kBlock; ++i) {
      std::memcpy(&x[i], &bits, sizeof(T));
      done = done || bits > static_cast<Bits>(bits + stride);
      bits += stride;
    }
    function.fast(kernels, y.data(), x.data(), kBlock);
    for (std::size_t i = 0; i < kBlock; ++i) {
      const double error = ulps<T, Wide>(y[i], function.truth(static_cast<Wide>(x[i])));
      if (error > worst) worst = error, at = x[i];
    }
  }
  std::printf("%s, %s of %zu bytes: %.3f ulp at %a\n", isa, function.name, sizeof(T), worst,
              static_cast<double>(at));
  CHECK(worst <= 2);
}

}  // namespace
}  // namespace chainrule

int main(int count, char** words) {
  using namespace chainrule;
  const std::uint32_t stride =
      count > 1 ? static_cast<std::uint32_t>(std::strtoul(words[1], nullptr, 10)) : 1009;
  const std::string only = count > 2 ? words[2] : "";
  for (const KernelSet* set : runnable_kernel_sets()) {
    if (!only.empty() && only != set->isa) continue;
    for (const auto& function : kCases<float, double>) test_function(set->isa, set->f32, function, stride);
    const std::uint64_t wide_stride = 0xffffffffffffffff / 1000000 | 1;
    for (const auto& function : kCases<double, long double>)
      test_function(set->isa, set->f64, function, wide_stride);
  }
  return test::failures();
}
