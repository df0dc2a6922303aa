// How many threads a plan takes by itself. The files are those of Linux's proc(5), cgroups(7), cgroup-v2.rst (cpu.max)
// and sched-bwc.rst (cpu.cfs_quota_us), planted in a folder; the lists those of OpenMP's OMP_NUM_THREADS.
#include "cpu/cores.h"

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace {

using namespace layerwise;
namespace fs = std::filesystem;

// A file system with these files, as long as it lives.
class Planted {
 public:
  explicit Planted(const std::vector<std::pair<std::string, std::string>>& files) {
    std::string name = (fs::temp_directory_path() / "layerwise-cores-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    root_ = name;
    for (const auto& [path, text] : files) {
      fs::create_directories(fs::path(root_ + path).parent_path());
      std::ofstream(root_ + path) << text;
    }
  }
  ~Planted() { fs::remove_all(root_); }
  int cores() const { return quota_cores(root_); }

 private:
  std::string root_;
};

const std::string kMount2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string kMount1 =
    "29 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,name=systemd\n"
    "33 25 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "34 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n";

using Files = std::vector<std::pair<std::string, std::string>>;

Files version_2(const std::string& group) {
  return {{"/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda rw\n" + kMount2},
          {"/proc/self/cgroup", "0::" + group + "\n"}};
}

Files version_1(const std::string& group, const std::string& mounts = kMount1) {
  return {{"/proc/self/mountinfo", mounts},
          {"/proc/self/cgroup", "12:cpuset:/other\n4:cpu,cpuacct:" + group + "\n1:name=systemd:/user\n0::/user\n"}};
}

int cores(Files files, const Files& more) {
  files.insert(files.end(), more.begin(), more.end());
  return Planted(files).cores();
}

// The two files that version 1 has for a limit.
Files quota(const std::string& folder, const std::string& microseconds) {
  return {{folder + "/cpu.cfs_quota_us", microseconds + "\n"}, {folder + "/cpu.cfs_period_us", "100000\n"}};
}

}  // namespace

TEST_CASE("the first number of OMP_NUM_THREADS is the limit, where OpenMP would take it", "[cores]") {
  const std::vector<std::pair<const char*, int>> cases = {
      {"4", 4},  {"4,3,2", 4}, {" 4 , 3", 4}, {"+4", 4}, {"\t12\n", 12}, {"1", 1},
      {"", 0},   {" ", 0},     {"0", 0},      {"-2", 0}, {"0,4", 0},     {"four", 0},
      {"4x", 0}, {"4 3", 0},   {"4.5", 0},    {",4", 0}, {"0x4", 0},     {"99999999999999999999", 0}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    CHECK(first_of_list(text) == expected);
  }
  CHECK(first_of_list(nullptr) == 0);
}

TEST_CASE("a quota of version 2 is rounded up to cores", "[cores]") {
  const std::vector<std::pair<std::string, int>> cases = {{"200000 100000\n", 2},
                                                          {"150000 100000\n", 2},
                                                          {"50000 100000\n", 1},
                                                          {"1000 100000\n", 1},
                                                          {"700000 50000\n", 14},
                                                          {"max 100000\n", 0},
                                                          {"", 0},
                                                          {"0 100000\n", 0},
                                                          {"100000 0\n", 0},
                                                          {"-1 100000\n", 0},
                                                          {"quota\n", 0},
                                                          {"100000\n", 0}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    CHECK(cores(version_2("/"), {{"/sys/fs/cgroup/cpu.max", text}}) == expected);
  }
}

TEST_CASE("the least quota from the process's group up to the root counts", "[cores]") {
  const std::string root = "/sys/fs/cgroup", slice = root + "/user.slice", job = slice + "/job 1";
  const auto limits = [&](const std::string& of_job, const std::string& of_slice) {
    return Files{{job + "/cpu.max", of_job + " 100000"}, {slice + "/cpu.max", of_slice + " 100000"}};
  };
  CHECK(cores(version_2("/user.slice/job 1"), limits("max", "300000")) == 3);
  CHECK(cores(version_2("/user.slice/job 1"), limits("800000", "300000")) == 3);
  CHECK(cores(version_2("/user.slice/job 1"), limits("200000", "300000")) == 2);
  CHECK(cores(version_2("/user.slice"), limits("200000", "max")) == 0);
  CHECK(cores(version_2("/user.slice/job 1"), {{root + "/cpu.max", "100000 100000"}}) == 1);
}

TEST_CASE("a quota of version 1 is found beside version 2", "[cores]") {
  const std::string folder = "/sys/fs/cgroup/cpu,cpuacct/docker/a1";
  CHECK(cores(version_1("/docker/a1"), quota(folder, "250000")) == 3);
  CHECK(cores(version_1("/docker/a1"), quota(folder, "-1")) == 0);
  Files both = quota(folder, "250000");
  both.push_back({"/sys/fs/cgroup/user/cpu.max", "200000 100000\n"});
  CHECK(cores(version_1("/docker/a1", kMount1 + kMount2), both) == 2);
}

TEST_CASE("a container that sees its group as the mount's root, or by the host's name, finds its quota", "[cores]") {
  const std::string mounts = "34 25 0:29 /docker/a1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
  const std::string folder = "/sys/fs/cgroup/cpu";
  for (const char* group : {"/docker/a1", "/", "/elsewhere", "/docker/a10", "/../a2"}) {
    CAPTURE(group);
    CHECK(cores(version_1(group, mounts), quota(folder, "150000")) == 2);
  }
  CHECK(cores(version_1("/docker/a1/sub", mounts), quota(folder + "/sub", "100000")) == 1);
  CHECK(cores(version_2("/../other"), {{"/sys/fs/cgroup/cpu.max", "100000 100000"}}) == 1);
}

TEST_CASE("without the files there is no quota", "[cores]") {
  CHECK(Planted({}).cores() == 0);
  CHECK(cores({{"/proc/self/mountinfo", "nonsense\n- \n"}}, {{"/proc/self/cgroup", "nonsense\n0::\n::\n"}}) == 0);
  CHECK(Planted({{"/proc/self/mountinfo", kMount2}}).cores() == 0);
}

TEST_CASE("the threads that are available follow OMP_NUM_THREADS downwards alone", "[cores]") {
  const char* const before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before ? before : "";
  unsetenv("OMP_NUM_THREADS");
  const int all = available_cores();
  CHECK(all >= 1);
  for (const auto& [text, expected] : {std::pair{"1", 1}, {"100000", all}, {"0", all}, {"none", all}}) {
    setenv("OMP_NUM_THREADS", text, 1);
    CHECK(available_cores() == expected);
  }
  before ? setenv("OMP_NUM_THREADS", kept.c_str(), 1) : unsetenv("OMP_NUM_THREADS");
}
