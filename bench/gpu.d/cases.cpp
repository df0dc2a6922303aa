// Some 70 small cases for a checker that slows everything down: every op and dtype in one pass and in two, layers of 0,
// 1, one less and one more than a tile, aligned and not, packed and scattered; each compared with the CPU.
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

struct SmallCase {
  Op op;
  BufferDtypes dtypes;
  bool unaligned, scattered;
  int32_t path;
};

// Every op before the next dtypes: under a checker the time may be over before the last.
std::vector<SmallCase> small_cases() {
  std::vector<SmallCase> cases;
  const BufferDtypes dtypes[] = {kFull, kMasters, kAllBf16, kHalf};
  for (const Op op : kApplies)
    for (const bool scattered : {false, true}) cases.push_back({op, kMasters, scattered, scattered, 0});
  for (const BufferDtypes& of : dtypes)
    for (const Op op : kSteps)
      for (const int32_t path : {kTwoPass, kOnePass}) {
        cases.push_back({op, of, false, false, path});
        if (of.grads != kF16) cases.push_back({op, of, true, of.weights == kF32, path});
      }
  for (const Op op : {Op::kNovograd, Op::kLarcSgd})
    for (const int32_t path : {kTwoPass, kOnePass})
      for (const bool unaligned : {false, true}) cases.push_back({op, kCopied, unaligned, unaligned, path});
  return cases;
}

constexpr int kCaseSteps = 2;

bool run_case(const SmallCase& small) {
  Layers layers({5, 8192, 0, 1, 8191, 8193, 2 * 8192, 20'000, 64}, small.dtypes,
                small.unaligned ? Placement::kUnaligned : Placement::kPacked);
  layers.scattered = small.scattered;
  const Plan plan(layers.sizes, plan_settings(layers, small.path));
  DeviceModel model(layers, true);
  CpuTwin cpu(layers, all_layers(layers), true);
  model.fill();
  cpu.fill();
  StepSettings settings;
  settings.lr = 0.02;
  const Stream stream;
  if (is_apply(small.op)) partial_norms(small.op, plan, model.arguments(), stream.get());
  for (int i = 0; i < kCaseSteps; ++i) step(small.op, plan, model.arguments(), settings, stream.get());
  stream.wait();
  if (is_apply(small.op)) cpu.partial_norms(small.op);
  for (int i = 0; i < kCaseSteps; ++i) cpu.step(small.op, settings);
  return report_check(std::string("cases: ") + name_of(small.op) + " " + short_name(small.dtypes) +
                          (small.unaligned ? ", unaligned" : "") + (small.scattered ? ", scattered" : "") +
                          (small.path ? std::string(", ") + path_name(small.path) : ""),
                      cpu.difference(model.buffers()), path_line(small.op, small.path, plan));
}

}  // namespace

bool cases_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  const std::vector<SmallCase> cases = small_cases();
  bool all = true;
  size_t done = 0;
  for (; done < cases.size() && !deadline.is_over(); ++done) all &= run_case(cases[done]);
  if (done < cases.size())
    report_not_run("cases: " + std::to_string(cases.size() - done) + " of " + std::to_string(cases.size()),
                   "no time left");
  return all;
}

}  // namespace bench
