// Stand-ins for griddepcontrol, which kernels/ptx.cuh writes as inline PTX: programmatic dependent launch.
//
// A launch that may begin before the one in front of it has ended finds memory as that one found it, until one of its
// threads waits. Writing before that, and a thread that ends without having waited, end the launch with a report.
#pragma once

#include "location.h"

namespace simt {

void dependency_wait();            // griddepcontrol.wait
inline void dependency_trigger() {}  // griddepcontrol.launch_dependents: the launch behind begins as early in any case

}  // namespace simt
