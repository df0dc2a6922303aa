#include "gpu.d/paths.h"

#include "gpu.d/device.h"

namespace bench {

std::string asked_name(int32_t asked, const Plan& plan) {
  const int64_t experimental = plan.query(LAYERWISE_QUERY_EXPERIMENTAL);
  std::string name = path_name(asked);
  if (asked == kTwoPass && experimental & LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH) name += ", dependent launch";
  if (asked == kOnePass && experimental & LAYERWISE_EXPERIMENTAL_BULK_COPY) name += ", bulk copies";
  return name;
}

JsonLine path_line(Op op, int32_t asked, const Plan& plan) {
  if (is_half(op)) return JsonLine().add("asked", "one launch").add("ran", "one launch");
  const int64_t ran = plan.query(LAYERWISE_QUERY_PATH);
  JsonLine line;
  line.add("asked", asked_name(asked, plan)).add("ran", path_name(ran));
  if (asked != 0 && asked != ran)
    line.add("note", std::string("asked for ") + path_name(asked) + ", ran in " + path_name(ran));
  return line;
}

HeldElements held_elements(Op op, const Plan& plan) {
  const int64_t both = plan.query(LAYERWISE_QUERY_HELD_WEIGHTS);
  if (reread_bytes(op, {1, 1, 1}).weight > 0 && both > 0) return {both, true};
  return {plan.query(LAYERWISE_QUERY_HELD_GRADS), false};
}

int64_t room_for(Op op, const BufferDtypes& dtypes, int64_t multiprocessors) {
  constexpr int64_t kBeyondAnyChip = int64_t{1} << 30;
  PlanSettings settings{dtypes, 0};
  settings.path = kOnePass;
  settings.multiprocessors = multiprocessors;
  return held_elements(op, Plan({kBeyondAnyChip}, settings)).count;
}

Gpu this_gpu(double copy_gb_per_s) {
  return {"this device",
          device_attribute(cudaDevAttrMultiProcessorCount),
          {device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor),
           device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
           device_attribute(cudaDevAttrReservedSharedMemoryPerBlock)},
          device_attribute(cudaDevAttrL2CacheSize),
          0,
          copy_gb_per_s,
          kL2H100,  // no attribute says it
          kMemoryH100,
          "asked of the device; the copy measured; round trips as an H100's"};
}

}  // namespace bench
