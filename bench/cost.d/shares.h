// What share of a copy's rate each way to build the kernels is predicted to reach, beside what is wanted.
#pragma once

#include <string>
#include <vector>

namespace bench {

// Of these GPUs and models; all where a list is empty.
void print_shares(const std::vector<std::string>& gpus, const std::vector<std::string>& models);

}  // namespace bench
