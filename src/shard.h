// What the ranks of a sharded model must agree about, and whether their pieces make whole layers.
#pragma once

#include "backend.h"

namespace layerwise {

int64_t global_fingerprint(const PlanDescription& plan);

// A rank's claim; what all ranks' add up to, held against its own. count is checked.
void write_claim(const PlanDescription& plan, const void* agreed, int64_t agreed_bytes, double* claim, int64_t count);
void verify_claims(const PlanDescription& plan, const double* claim, const double* sum, int64_t count);

}  // namespace layerwise
