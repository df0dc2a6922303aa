// One row of the timing: an op on a model, in two passes and in one, in turn on the same buffers.
#pragma once

#include <string>

#include "gpu.d/twin.h"

namespace bench {

struct Row {
  std::string model;
  BufferDtypes dtypes;
  Op op;
};
std::string name_of(const Row& row);

inline constexpr int64_t kDeviceReserve = int64_t{1} << 29;  // bytes left to the device

// Prints one line for each path, or for an apply op's one launch, with what the cost model says of it. True where what was
// timed has the CPU's bits.
bool time_row(const Row& row, const Layers& layers, double copy_gb_per_s);

struct Times {
  double us, fastest, q1, q3;
};
Times summary(const std::vector<double>& times, int steps);
int repeats_for(double us);

}  // namespace bench
