// Work for which there may be no memory or no time.
#pragma once

#include <functional>
#include <string>

#include "gpu.d/stages.h"

namespace bench {

inline constexpr int64_t kDeviceReserve = int64_t{1} << 29;  // bytes left to the device

// Does the work and returns what it returns; true where it was not run, which is said with its reason: the device has
// less free than these bytes and the reserve, the time is over, or memory was short after all. Any other exception is a
// check that failed, and costs nothing that follows.
bool attempt(const std::string& name, int64_t bytes, const Deadline& deadline, const std::function<bool()>& work);

}  // namespace bench
