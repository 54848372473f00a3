// How many threads this process may use. Not here: how many a piece of work is worth, and the threads
// themselves.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

namespace chainrule {

inline constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// At least 1: the processors that this thread may run on, and no more than OMP_NUM_THREADS and the cgroup's
// CPU quota allow. Affinity and environment are looked at each time, the quota once.
std::size_t thread_limit();

// What OMP_NUM_THREADS asks for: the first number of a list such as "4,2". kNoLimit if it is not a positive
// one.
std::size_t omp_limit(std::string_view value);

// Returns the text of a file, empty if there is none.
using ReadFile = std::function<std::string(const std::string& path)>;

// The CPU quota of this process's cgroups, version 1 and 2, in whole processors, rounded up. kNoLimit without
// one.
std::size_t cgroup_limit(const ReadFile& read);

}  // namespace chainrule
