// How many threads a plan takes that may choose: as many as the process may use cores, and no more than it is told to.
#pragma once

#include <string>

namespace layerwise {

// The least of the cores in this thread's affinity, the first number in OMP_NUM_THREADS and quota_cores(); at least 1.
int available_cores();

// The first number of a list as OMP_NUM_THREADS holds one; 0, which is no limit, where OpenMP would not take it.
int first_of_list(const char* text);

// The cores that the control groups of this process give it time for, of version 2 or 1, each group's own limit and
// those above it, rounded up; 0 without a limit. root: a folder to look under instead of the file system's.
int quota_cores(const std::string& root = "");

}  // namespace layerwise
