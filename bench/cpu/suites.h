// The rows of the CPU benchmark.
#pragma once

#include <string>
#include <vector>

#include "cpu/workload.h"

namespace bench {

inline const char* const kSuites[] = {"models", "sizes", "layers", "zeros", "isa", "threads"};

// The rows of one suite; threads is the number of cores.
std::vector<Case> suite_rows(const std::string& suite, int threads);

}  // namespace bench
