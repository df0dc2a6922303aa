// A step's path: the one that is asked for, the one that a plan says it took, and what one pass has room for here.
#pragma once

#include <string>

#include "gpus.h"
#include "json.h"
#include "step.h"

namespace bench {

inline constexpr int32_t kOnePass = LAYERWISE_PATH_ONE_PASS, kTwoPass = LAYERWISE_PATH_TWO_PASS;

inline const char* path_name(int64_t path) {
  return path == kOnePass ? "one pass" : path == kTwoPass ? "two passes" : "any path";
}

// A path that was asked for, with the experimental ways that the plan has for it.
std::string asked_name(int32_t asked, const Plan& plan);

// What was asked for, how the plan's last step ran, and, where that is something else, a note that says so. Half a step
// is one launch whatever the plan's path.
JsonLine path_line(Op op, int32_t asked, const Plan& plan);

// Elements of which this plan's step of this op reads gradients (and weights, where they are read twice) once.
struct HeldElements {
  int64_t count;
  bool weights;
};
HeldElements held_elements(Op op, const Plan& plan);

// Elements of one layer that a one-pass step has room for on so many multiprocessors (0: all); 0 where there is none.
int64_t room_for(Op op, const BufferDtypes& dtypes, int64_t multiprocessors = 0);

// Device 0 for the cost model.
Gpu this_gpu(double copy_gb_per_s);

}  // namespace bench
