#include "cpu/cores.h"

#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

namespace layerwise {
namespace {

int cores_of_affinity() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return static_cast<int>(std::thread::hardware_concurrency());
}

int least(int limit, int other) { return limit == 0 || (other > 0 && other < limit) ? other : limit; }

// Calls look(line) for each line of a file. A missing file has no lines.
template <class Look>
void for_each_line(const std::string& path, Look look) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return;
  std::string line;
  for (int c; (c = std::fgetc(file.get())) != EOF;) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    look(line);
    line.clear();
  }
  if (!line.empty()) look(line);
}

// Word `number`, counted from 0, of a line whose words are separated by single spaces; empty if there are fewer words.
std::string word(const std::string& line, int number) {
  size_t begin = 0;
  for (; number > 0 && begin != std::string::npos; --number) {
    begin = line.find(' ', begin);
    if (begin != std::string::npos) ++begin;
  }
  return begin == std::string::npos ? "" : line.substr(begin, line.find(' ', begin) - begin);
}

// Whether a comma-separated list contains this entry.
bool lists(const std::string& words, const std::string& entry) {
  return ("," + words + ",").find("," + entry + ",") != std::string::npos;
}

// Where a hierarchy of control groups is mounted, and which of its groups is the root of that mount.
struct Mount {
  std::string root, folder;
};

// The last mount in /proc/self/mountinfo (proc(5)) of control groups version 2, or of version 1's cpu controller.
Mount mount_of(const std::string& mountinfo, bool version_2) {
  Mount found;
  for_each_line(mountinfo, [&](const std::string& line) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) return;
    const std::string after = line.substr(dash + 3), kind = word(after, 0);
    if (version_2 ? kind == "cgroup2" : kind == "cgroup" && lists(word(after, 2), "cpu"))
      found = {word(line, 3), word(line, 4)};
  });
  return found;
}

// The control group of this process from /proc/self/cgroup (cgroups(7)), whose lines are "0::/path" in version 2 and
// "4:cpu,cpuacct:/path" in version 1.
std::string group_of(const std::string& cgroup, bool version_2) {
  std::string group;
  for_each_line(cgroup, [&](const std::string& line) {
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) return;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? controllers.empty() : lists(controllers, "cpu")) group = line.substr(second + 1);
  });
  return group;
}

int rounded_up(double quota, double period) {
  if (!(quota > 0 && period > 0)) return 0;  // "max" and -1 mean no limit
  return static_cast<int>(std::min(std::ceil(quota / period), double{INT_MAX}));
}

double number_in(const std::string& path, int number) {
  double found = 0;
  for_each_line(path, [&](const std::string& line) { found = std::strtod(word(line, number).c_str(), nullptr); });
  return found;
}

int limit_in(const std::string& folder, bool version_2) {
  if (version_2) return rounded_up(number_in(folder + "/cpu.max", 0), number_in(folder + "/cpu.max", 1));
  return rounded_up(number_in(folder + "/cpu.cfs_quota_us", 0), number_in(folder + "/cpu.cfs_period_us", 0));
}

// The lowest limit of the process's group and its ancestors, up to the root of the mount. A group outside the mount, as
// in containers that see the group names of the host, is taken to be that root.
int quota_of(const std::string& root, bool version_2) {
  const Mount mount = mount_of(root + "/proc/self/mountinfo", version_2);
  if (mount.folder.empty()) return 0;
  std::string group = group_of(root + "/proc/self/cgroup", version_2);
  if (mount.root != "/") {
    const bool below = (group + "/").compare(0, mount.root.size() + 1, mount.root + "/") == 0;
    group = below ? group.substr(mount.root.size()) : "";
  }
  if (group.find("..") != std::string::npos) group.clear();
  int limit = limit_in(root + mount.folder, version_2);
  for (; group.size() > 1; group.resize(group.rfind('/')))
    limit = least(limit, limit_in(root + mount.folder + group, version_2));
  return limit;
}

}  // namespace

int first_of_list(const char* text) {
  if (!text) return 0;
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(text, &end, 10);
  const bool alone = end != text && errno == 0;
  while (std::isspace(static_cast<unsigned char>(*end))) ++end;
  return alone && (*end == '\0' || *end == ',') && number > 0 && number <= INT_MAX ? static_cast<int>(number) : 0;
}

int quota_cores(const std::string& root) { return least(quota_of(root, true), quota_of(root, false)); }

int available_cores() {
  const int limit = least(first_of_list(std::getenv("OMP_NUM_THREADS")), quota_cores());
  return std::max(least(cores_of_affinity(), limit), 1);
}

}  // namespace layerwise
