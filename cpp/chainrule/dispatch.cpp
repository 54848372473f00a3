#include "chainrule/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace chainrule {

#if defined(__x86_64__) || defined(_M_X64)
extern const KernelSet kernels_x86_64_v2, kernels_x86_64_v3, kernels_x86_64_v4;
#else
extern const KernelSet kernels_aarch64;
#endif

namespace {

const KernelSet& choose() {
  const std::vector<const KernelSet*> runnable = runnable_kernel_sets();
  if (runnable.empty())
    throw std::runtime_error("chainrule needs a processor with at least x86-64-v2 (SSE4.2)");
  const char* wanted = std::getenv("CHAINRULE_ISA");
  if (wanted == nullptr || *wanted == '\0') return *runnable.front();
  std::string allowed;
  for (const KernelSet* kernels : runnable) {
    if (std::string(wanted) == kernels->isa) return *kernels;
    allowed += (allowed.empty() ? "" : ", ") + std::string(kernels->isa);
  }
  throw std::invalid_argument("CHAINRULE_ISA must be one of " + allowed + " on this processor; got '" +
                              wanted + "'");
}

}  // namespace

std::vector<const KernelSet*> runnable_kernel_sets() {
#if defined(__x86_64__) || defined(_M_X64)
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                  __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt") &&
                  __builtin_cpu_supports("movbe");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  std::vector<const KernelSet*> runnable;
  if (v4) runnable.push_back(&kernels_x86_64_v4);
  if (v3) runnable.push_back(&kernels_x86_64_v3);
  if (v2) runnable.push_back(&kernels_x86_64_v2);
  return runnable;
#else
  return {&kernels_aarch64};
#endif
}

const KernelSet& kernel_set() {
  static const KernelSet& chosen = choose();
  return chosen;
}

}  // namespace chainrule
