// Some 20 small cases for a checker that slows everything down: every op and dtype, layers of 0, 1, one less and one
// more than a tile, aligned and not, packed and scattered; each compared with the CPU.
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

struct SmallCase {
  Op op;
  BufferDtypes dtypes;
  int64_t gap;  // elements between layers: 1 makes all but the first unaligned
  bool scattered;
};

std::vector<SmallCase> small_cases() {
  std::vector<SmallCase> cases;
  const BufferDtypes dtypes[] = {{kF32, kF32, kF32}, {kF32, kBf16, kF32}, {kBf16, kBf16, kBf16}, {kF16, kF16, kF32}};
  for (const Op op : kOps)
    for (const BufferDtypes& of : dtypes) {
      cases.push_back({op, of, 0, false});
      if (of.grads != kF16) cases.push_back({op, of, 1, of.weights == kF32});
    }
  return cases;
}

// The address of every layer in one buffer, as a scattered plan wants it.
DeviceBuffer pointer_table(void* buffer, int32_t dtype, const Layers& layers) {
  std::vector<void*> pointers;
  for (const int64_t offset : layers.offsets) pointers.push_back(element_address(buffer, dtype, offset));
  DeviceBuffer table(static_cast<int64_t>(pointers.size() * sizeof(void*)));
  BENCH_CUDA(cudaMemcpy, table.get(), pointers.data(), pointers.size() * sizeof(void*), cudaMemcpyHostToDevice);
  return table;
}

void run_scattered(const SmallCase& small, const Layers& layers, const StepBuffers& packed, const StepSettings& settings,
                   const Stream& stream) {
  const Plan plan(layers.sizes, {layers.dtypes, 0, 0, 0, LAYERWISE_LAYOUT_SCATTERED});
  const DeviceBuffer weights = pointer_table(packed.weights, layers.dtypes.weights, layers);
  const DeviceBuffer grads = pointer_table(packed.grads, layers.dtypes.grads, layers);
  const DeviceBuffer moment = pointer_table(packed.moment, layers.dtypes.moment, layers);
  const StepBuffers tables{weights.get(), grads.get(), moment.get(), packed.second_moment, packed.stats};
  for (int i = 0; i < 2; ++i) step(small.op, plan, tables, settings, stream.get());
  stream.wait();
}

void run_packed(const SmallCase& small, const Layers& layers, const StepBuffers& buffers, const StepSettings& settings,
                const Stream& stream) {
  const Plan plan(layers.sizes, {layers.dtypes, 0, 0, 0, LAYERWISE_LAYOUT_PACKED, layers.offsets.data()});
  for (int i = 0; i < 2; ++i) step(small.op, plan, buffers, settings, stream.get());
  stream.wait();
}

bool run_case(const SmallCase& small) {
  const Layers layers({5, 8192, 0, 1, 8191, 8193, 2 * 8192, 20'000, 64}, small.dtypes, small.gap);
  const Stream stream;
  DeviceModel model(layers, true);
  CpuTwin cpu(layers, all_layers(layers), true);
  model.fill();
  cpu.fill();
  StepSettings settings;
  settings.lr = 0.02;
  (small.scattered ? run_scattered : run_packed)(small, layers, model.buffers(), settings, stream);
  for (int i = 0; i < 2; ++i) cpu.step(small.op, settings);
  return report_check(std::string("cases: ") + name_of(small.op) + " " + short_name(small.dtypes) +
                          (small.gap ? ", unaligned" : "") + (small.scattered ? ", scattered" : ""),
                      cpu.difference(model.buffers()));
}

}  // namespace

bool cases_stage() {
  bool all = true;
  for (const SmallCase& small : small_cases()) all &= run_case(small);
  return all;
}

}  // namespace bench
