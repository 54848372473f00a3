#include "chainrule/thread_limit.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace chainrule {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The positive number that the text, up to white space or a comma, consists of.
std::optional<std::uint64_t> positive(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  text = text.substr(0, text.find_first_of(", \t\n"));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && number > 0 ? std::optional(number) : std::nullopt;
}

// Microseconds of processor time per period, as whole processors. A quota of "max" or -1 is none.
std::size_t quota_limit(std::string_view quota, std::string_view period) {
  const auto time = positive(quota), every = positive(period);
  return time && every ? static_cast<std::size_t>((*time - 1) / *every + 1) : kNoLimit;
}

std::size_t directory_limit(const ReadFile& read, const std::string& directory, bool version2) {
  if (!version2)
    return quota_limit(read(directory + "/cpu.cfs_quota_us"), read(directory + "/cpu.cfs_period_us"));
  const std::string text = read(directory + "/cpu.max");
  const auto words = split(text, ' ');
  return words.size() == 2 ? quota_limit(words[0], words[1]) : kNoLimit;
}

// The process's own group in a hierarchy, from lines such as "4:cpu,cpuacct:/a/b", or "0::/a/b" for
// version 2.
std::string_view own_group(std::string_view groups, bool version2) {
  for (const std::string_view line : split(groups, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    if (version2 ? fields[1].empty() : contains(split(fields[1], ','), "cpu"))
      return line.substr(static_cast<std::size_t>(fields[2].data() - line.data()));
  }
  return "/";
}

// The least limit from the group's directory up to where its hierarchy is mounted. The mount may show a part
// of the hierarchy only, from `root` on; a group outside of that part cannot be seen, only the part as a
// whole.
std::size_t hierarchy_limit(const ReadFile& read, std::string_view mount, std::string_view root,
                            std::string_view group, bool version2) {
  if (root == "/") root = "";
  std::string_view inside;
  if (group.starts_with(root) && group.substr(root.size()).starts_with('/'))
    inside = group.substr(root.size());
  std::size_t limit = kNoLimit;
  for (;;) {
    limit = std::min(limit, directory_limit(read, std::string(mount) + std::string(inside), version2));
    if (inside.empty()) return limit;
    inside = inside.substr(0, inside.rfind('/'));
  }
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::size_t processors() {
#ifdef __linux__
  // The kernel refuses a set smaller than its own; the size of that is nowhere to be had.
  for (std::size_t words = 16; words <= 4096; words *= 2) {
    std::vector<unsigned long> set(words);
    const std::size_t bytes = words * sizeof(unsigned long);
    auto* const cpus = reinterpret_cast<cpu_set_t*>(set.data());
    if (sched_getaffinity(0, bytes, cpus) == 0) return static_cast<std::size_t>(CPU_COUNT_S(bytes, cpus));
  }
#endif
  return std::thread::hardware_concurrency();  // 0 if unknown
}

}  // namespace

std::size_t omp_limit(std::string_view value) {
  const auto number = positive(value);
  return number ? static_cast<std::size_t>(*number) : kNoLimit;
}

// A line of mountinfo is "36 25 0:31 <root> <mount point> <options> [<tags>] - <type> <source> <super
// options>".
std::size_t cgroup_limit(const ReadFile& read) {
  const std::string mounts = read("/proc/self/mountinfo"), groups = read("/proc/self/cgroup");
  std::size_t limit = kNoLimit;
  for (const std::string_view line : split(mounts, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (dash - fields.begin() < 6 || fields.end() - dash < 4) continue;
    const bool version2 = dash[1] == "cgroup2";
    const bool version1 = dash[1] == "cgroup" && contains(split(dash[3], ','), "cpu");
    if (!version1 && !version2) continue;
    limit =
        std::min(limit, hierarchy_limit(read, fields[4], fields[3], own_group(groups, version2), version2));
  }
  return limit;
}

std::size_t thread_limit() {
  static const std::size_t quota = cgroup_limit(read_file);
  const char* const wanted = std::getenv("OMP_NUM_THREADS");
  const std::size_t asked = wanted == nullptr ? kNoLimit : omp_limit(wanted);
  return std::max<std::size_t>(1, std::min({processors(), quota, asked}));
}

}  // namespace chainrule
