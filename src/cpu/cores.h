// The default number of threads of a plan: as many as the process may use cores, and no more than it is told to use.
#pragma once

#include <string>

namespace layerwise {

// The least of the cores in this thread's affinity, the first number in OMP_NUM_THREADS and quota_cores(); at least 1.
int available_cores();

// The first number of a list in the format of OMP_NUM_THREADS; 0, meaning no limit, if OpenMP would reject the list.
int first_of_list(const char* text);

// The CPU quota of this process's control groups, version 2 or 1, ancestors included, in cores and rounded up; 0
// without a limit. root: a folder to use as the root of the file system, for tests.
int quota_cores(const std::string& root = "");

}  // namespace layerwise
