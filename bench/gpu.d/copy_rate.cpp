#include "gpu.d/copy_rate.h"

#include <algorithm>

#include "gpu.d/device.h"

namespace bench {
namespace {

// An idle device's clocks rise only under load, and while they do a copy is no yardstick: hence a warm-up.
double measured(double warm_up_seconds, int64_t most_bytes) {
  const Stream stream;
  const int64_t bytes = std::min(most_bytes, free_device_bytes() / 8);
  const DeviceBuffer from(bytes), to(bytes);
  BENCH_CUDA(cudaMemset, from.get(), 0x3a, static_cast<size_t>(bytes));
  const auto copy = [&] {
    BENCH_CUDA(cudaMemcpyAsync, to.get(), from.get(), static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
               stream.get());
  };
  BENCH_CUDA(cudaDeviceSynchronize);
  const Deadline warm_up(warm_up_seconds);
  do event_microseconds(stream, 3, copy);
  while (!warm_up.is_over());
  const double us = quantile(event_microseconds(stream, 20, copy), 0.5);
  const double rate = 2.0 * static_cast<double>(bytes) / us / 1e3;
  JsonLine().add("kind", "copy").add("bytes", bytes).add("us", us).add("gb_per_s", rate).print();
  return rate;
}

}  // namespace

double CopyRate::beside(const std::string& model) {
  if (model != model_) rate_ = measured(rate_ > 0 ? 0 : options_.warm_up_seconds, options_.copy_bytes);
  model_ = model;
  return rate_;
}

}  // namespace bench
