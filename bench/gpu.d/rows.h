// The rows of the timing: which op on which model, and what is special about its buffers.
#pragma once

#include <string>

#include "gpu.d/layers.h"

namespace bench {

enum class Special {
  kNothing,     // packed one after the other, random gradients
  kUnaligned,   // every layer but the first
  kOddFirst,    // one small layer of an odd size before the model's, which misaligns every one of them
  kScattered,   // memory of its own for every layer, as in PyTorch
  kCopy,        // of the weights, in bfloat16
  kStochastic,  // rounding of the moment
  kZeroGrads,
  kFoundInf,      // is there to be read, as under a loss scaler, and says no
  kExperimental,  // nothing of the buffers: with the ways of running a step beside that no plan takes by itself
};

struct Row {
  std::string model;
  BufferDtypes dtypes;
  Op op;
  Special special = Special::kNothing;
};

const char* name_of(Special special);  // empty for nothing
std::string name_of(const Row& row);
Layers layers_of(const Row& row);
StepSettings settings_of(const Row& row);

// Those that decide the most, and the rest, the most telling first: what is not begun in time is listed as not run.
std::vector<Row> first_rows();
std::vector<Row> other_rows();
// Every op and every special row on each model of a comma-separated list.
std::vector<Row> rows_on(const std::string& models);

}  // namespace bench
