#include "gpu.d/attempt.h"

#include <new>

#include "gpu.d/device.h"

namespace bench {
namespace {

std::string megabytes(int64_t bytes) { return std::to_string(bytes / 1'000'000) + " MB"; }

}  // namespace

bool attempt(const std::string& name, int64_t bytes, const Deadline& deadline, const std::function<bool()>& work) {
  const int64_t needed = bytes + kDeviceReserve, available = free_device_bytes();
  std::string reason;
  if (needed > available)
    reason = "needs " + megabytes(needed) + " of device memory, free are " + megabytes(available);
  else if (deadline.is_over())
    reason = "no time left";
  try {
    if (reason.empty()) return work();
  } catch (const OutOfMemory& problem) {
    reason = problem.what();
  } catch (const std::bad_alloc&) {
    reason = "the host has too little memory";
  } catch (const std::exception& problem) {
    cudaGetLastError();
    return report_check(name, problem.what());
  }
  cudaGetLastError();
  report_not_run(name, reason);
  return true;
}

}  // namespace bench
