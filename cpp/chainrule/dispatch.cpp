#include "chainrule/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

namespace chainrule {

#if defined(__x86_64__) || defined(_M_X64)
extern const KernelSet kernels_x86_64_v2, kernels_x86_64_v3, kernels_x86_64_v4;
#else
extern const KernelSet kernels_aarch64;
#endif

namespace {

struct Candidate {
  const KernelSet* kernels;
  bool runs_here;
};

std::vector<Candidate> candidates() {
#if defined(__x86_64__) || defined(_M_X64)
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                  __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt") &&
                  __builtin_cpu_supports("movbe");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return {{&kernels_x86_64_v4, v4}, {&kernels_x86_64_v3, v3}, {&kernels_x86_64_v2, v2}};
#else
  return {{&kernels_aarch64, true}};
#endif
}

const KernelSet& choose() {
  const char* wanted = std::getenv("CHAINRULE_ISA");
  const bool any = wanted == nullptr || *wanted == '\0';
  for (const Candidate& candidate : candidates()) {
    if (candidate.runs_here && (any || std::string(wanted) == candidate.kernels->isa)) {
      return *candidate.kernels;
    }
  }
  std::string allowed;
  for (const std::string& isa : available_isas()) allowed += (allowed.empty() ? "" : ", ") + isa;
  if (any) throw std::runtime_error("chainrule needs a processor with at least x86-64-v2 (SSE4.2)");
  throw std::invalid_argument("CHAINRULE_ISA must be one of " + allowed + " on this processor; got '" +
                              wanted + "'");
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates()) {
    if (candidate.runs_here) names.emplace_back(candidate.kernels->isa);
  }
  return names;
}

const KernelSet& kernel_set() {
  static const KernelSet& chosen = choose();
  return chosen;
}

}  // namespace chainrule
