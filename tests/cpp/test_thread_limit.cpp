// How many threads the process may use: the environment, and cgroups as the kernel shows them to a process.
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "chainrule/thread_limit.hpp"
#include "check.hpp"

#ifdef __linux__
#include <sched.h>
#endif

namespace chainrule {
namespace {

using Files = std::map<std::string, std::string>;

std::size_t limit_of(const Files& files) {
  return cgroup_limit([&](const std::string& path) {
    const auto file = files.find(path);
    return file == files.end() ? std::string() : file->second;
  });
}

void test_omp_num_threads() {
  CHECK(omp_limit("3") == 3);
  CHECK(omp_limit(" 3 ") == 3);
  CHECK(omp_limit("4,2") == 4);
  CHECK(omp_limit("4 , 2") == 4);
  for (const char* none : {"", "0", "-1", "x", "4x", "1.5", ",4", "99999999999999999999"})
    CHECK(omp_limit(none) == kNoLimit);
}

// The files of a process in the group `group` of version 2, mounted from `root` on.
Files version2(const std::string& root, const std::string& group, const Files& limits) {
  Files files = limits;
  files["/proc/self/mountinfo"] = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n29 24 0:26 " + root +
                                  " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
  files["/proc/self/cgroup"] = "0::" + group + "\n";
  return files;
}

void test_quota_of_version_2() {
  const auto limit = [](const std::string& text) {
    return limit_of(version2("/", "/", {{"/sys/fs/cgroup/cpu.max", text}}));
  };
  CHECK(limit("max 100000\n") == kNoLimit);
  CHECK(limit("") == kNoLimit);
  CHECK(limit("nonsense\n") == kNoLimit);
  CHECK(limit("100000 100000\n") == 1);
  CHECK(limit("100001 100000\n") == 2);
  CHECK(limit("250000 100000\n") == 3);
  CHECK(limit("1000 100000\n") == 1);
}

void test_least_quota_on_the_way_up() {
  const std::string top = "/sys/fs/cgroup";
  CHECK(limit_of(version2("/", "/a/b", {{top + "/a/b/cpu.max", "300000 100000\n"}})) == 3);
  CHECK(limit_of(version2("/", "/a/b",
                          {{top + "/a/b/cpu.max", "300000 100000\n"},
                           {top + "/a/cpu.max", "200000 100000\n"},
                           {top + "/cpu.max", "400000 100000\n"}})) == 2);
  CHECK(limit_of(version2("/", "/a/b", {{top + "/other/cpu.max", "100000 100000\n"}})) == kNoLimit);
}

void test_mount_of_a_part_of_the_hierarchy() {
  const Files limits{{"/sys/fs/cgroup/cpu.max", "500000 100000\n"},
                     {"/sys/fs/cgroup/in/cpu.max", "200000 100000\n"}};
  CHECK(limit_of(version2("/box/7", "/box/7/in", limits)) == 2);
  CHECK(limit_of(version2("/box/7", "/box/7", limits)) == 5);
  CHECK(limit_of(version2("/box/7", "/box/77/in", limits)) == 5);
  CHECK(limit_of(version2("/", "/../in", limits)) == 5);
}

void test_quota_of_version_1() {
  const std::string cpu = "/sys/fs/cgroup/cpu,cpuacct";
  Files files{{"/proc/self/mountinfo",
               "33 32 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
               "34 32 0:30 / " +
                   cpu +
                   " rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                   "42 32 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"},
              {"/proc/self/cgroup", "5:cpuset:/other\n4:cpu,cpuacct:/job\n0::/job\n"},
              {cpu + "/job/cpu.cfs_period_us", "50000\n"},
              {"/sys/fs/cgroup/cpuset/other/cpu.cfs_quota_us", "1\n"},
              {"/sys/fs/cgroup/cpuset/other/cpu.cfs_period_us", "1\n"}};
  CHECK(limit_of(files) == kNoLimit);
  files[cpu + "/job/cpu.cfs_quota_us"] = "-1\n";
  CHECK(limit_of(files) == kNoLimit);
  files[cpu + "/job/cpu.cfs_quota_us"] = "150000\n";
  CHECK(limit_of(files) == 3);
  files["/sys/fs/cgroup/unified/job/cpu.max"] = "200000 100000\n";
  CHECK(limit_of(files) == 2);
}

void test_no_cgroups() {
  CHECK(limit_of({}) == kNoLimit);
  CHECK(limit_of({{"/proc/self/mountinfo", "22 1 254:0 / / rw\n- -\n\n"}}) == kNoLimit);
}

#ifdef __linux__

void test_environment_and_affinity() {
  unsetenv("OMP_NUM_THREADS");
  const std::size_t unlimited = thread_limit();
  CHECK(unlimited >= 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  CHECK(thread_limit() == 1);
  setenv("OMP_NUM_THREADS", "1000000", 1);
  CHECK(thread_limit() == unlimited);

  cpu_set_t all, one;
  CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
  CHECK(unlimited <= static_cast<std::size_t>(CPU_COUNT(&all)));
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(thread_limit() == 1);
  CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
  CHECK(thread_limit() == unlimited);
}

#endif

}  // namespace
}  // namespace chainrule

int main() {
  chainrule::test_omp_num_threads();
  chainrule::test_quota_of_version_2();
  chainrule::test_least_quota_on_the_way_up();
  chainrule::test_mount_of_a_part_of_the_hierarchy();
  chainrule::test_quota_of_version_1();
  chainrule::test_no_cgroups();
#ifdef __linux__
  chainrule::test_environment_and_affinity();
#endif
  return chainrule::test::failures();
}
