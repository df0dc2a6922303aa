#include "cpu/openmp.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

#include "backend.h"

namespace layerwise {
namespace {

// The number of libraries that the process has loaded so far, including those that it has unloaded since.
uint64_t loads() {
  uint64_t count = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* count) {
        *static_cast<uint64_t*>(count) = info->dlpi_adds;
        return 1;
      },
      &count);
  return count;
}

bool is_runtime(const char* path) {
  const char* const slash = std::strrchr(path, '/');
  const char* const name = slash ? slash + 1 : path;
  for (const char* runtime : {"libgomp", "libiomp", "libomp"})
    if (std::strncmp(name, runtime, std::strlen(runtime)) == 0) return true;
  return false;
}

// The path of the first loaded library whose name is that of an OpenMP runtime; empty if there is none.
std::string runtime_path() {
  std::string path;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* path) {
        if (!is_runtime(info->dlpi_name)) return 0;
        *static_cast<std::string*>(path) = info->dlpi_name;
        return 1;
      },
      &path);
  return path;
}

// A handle of a library if it is loaded already, and keeps it loaded; else null.
void* loaded_library(const char* name) { return dlopen(name, RTLD_LAZY | RTLD_NOLOAD); }

// Whether this process was forked and has not started a program since: Linux's
// PF_FORKNOEXEC among the flags of proc(5). The library may be loaded after the fork, and sees none then.
bool is_forked() {
  constexpr unsigned long kForkedWithoutExec = 0x40;
  char text[512] = "";
  if (FILE* const file = std::fopen("/proc/self/stat", "re")) {
    text[std::fread(text, 1, sizeof text - 1, file)] = '\0';
    std::fclose(file);
  }
  unsigned long flags = 0;
  const char* const name_end = std::strrchr(text, ')');
  return name_end && std::sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) == 1 &&
         (flags & kForkedWithoutExec) != 0;
}

// The runtime found when `loads` libraries had been loaded. The search is repeated when more have been loaded.
struct Found {
  std::mutex mutex;
  std::atomic<uint64_t> loads{0};
  std::atomic<const OpenMp*> runtime{nullptr};
  std::atomic<bool> is_final{false};
};
Found* const found = new Found;  // never destroyed: plans may outlive static objects

struct Region {
  TeamTask task;
  void* context;
  int most;
  int (*thread)();
  int (*size)();
};

}  // namespace

bool OpenMp::find_in(void* library) {
  if (!library) return false;
  parallel_ = reinterpret_cast<Parallel>(dlsym(library, "GOMP_parallel"));
  thread_ = reinterpret_cast<Number>(dlsym(library, "omp_get_thread_num"));
  size_ = reinterpret_cast<Number>(dlsym(library, "omp_get_num_threads"));
  most_ = reinterpret_cast<Number>(dlsym(library, "omp_get_max_threads"));
  return parallel_ && thread_ && size_ && most_;
}

const OpenMp* OpenMp::loaded() {
  static const bool began_forked = is_forked();
  if (began_forked || forks() != 0) return nullptr;
  if (found->is_final.load(std::memory_order_acquire)) return found->runtime;
  const uint64_t now = loads();
  if (found->loads.load(std::memory_order_acquire) == now) return found->runtime;
  const std::lock_guard lock(found->mutex);
  static OpenMp* const torchs = new OpenMp;
  if (found->is_final.load(std::memory_order_relaxed)) return found->runtime;
  if (torchs->find_in(loaded_library("libtorch_cpu.so"))) {
    found->runtime = torchs;
    found->is_final.store(true, std::memory_order_release);
  } else if (!found->runtime) {
    const std::string path = runtime_path();
    OpenMp first;
    if (!path.empty() && first.find_in(loaded_library(path.c_str()))) found->runtime = new OpenMp(first);
  }
  found->loads.store(now, std::memory_order_release);
  return found->runtime;
}

void OpenMp::run(int most, TeamTask task, void* context) const {
  // Asks for as many threads as other parallel regions use, if that is more. For a smaller region the runtime would end
  // the surplus threads and start them again for the next region.
  Region region{task, context, most, thread_, size_};
  parallel_(
      [](void* data) {
        const Region& region = *static_cast<Region*>(data);
        const int size = std::min(region.size(), region.most), thread = region.thread();
        if (thread < size) region.task(region.context, {thread, size});
      },
      &region, static_cast<unsigned>(std::max(most, most_())), 0);
}

}  // namespace layerwise
