// CHECK counts failures and names their place; `return failures()` makes main fail where there was one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace chainrule::test {

inline std::atomic<int>& failure_count() {
  static std::atomic<int> count = 0;
  return count;
}

inline void check(bool holds, const char* what, const char* file, int line) {
  if (holds) return;
  if (++failure_count() <= 20) std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
}

// Non-zero where a check failed, as main returns it.
inline int failures() {
  if (failure_count() > 0) std::fprintf(stderr, "%d checks failed\n", failure_count().load());
  return failure_count() > 0 ? 1 : 0;
}

// Whether a and b agree to `tolerance` times `scale`.
inline bool close(double a, double b, double tolerance, double scale) {
  return std::abs(a - b) <= tolerance * scale;
}

}  // namespace chainrule::test

#define CHECK(condition) chainrule::test::check((condition), #condition, __FILE__, __LINE__)
