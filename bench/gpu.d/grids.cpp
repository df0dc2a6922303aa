// Steps whose blocks fill one multiprocessor, half of them and all: layers of exactly what a one-pass step has room for
// there, of an element and of a tile more, and of an element less, in one pass and in two; the CPU's bits in each.
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

struct Grid {
  const char* name;
  int64_t multiprocessors;
};

struct GridCase {
  Op op;
  BufferDtypes dtypes;
};
constexpr GridCase kCases[] = {{Op::kNovograd, kFull},    {Op::kLarcSgd, kFull},      {Op::kLarcScale, kFull},
                               {Op::kNovograd, kMasters}, {Op::kLarcNovograd, kFull}, {Op::kLarcSgd, kAllBf16}};

std::string case_name(const GridCase& of, const Grid& grid, const std::string& path) {
  return std::string("grids: ") + name_of(of.op) + " " + short_name(of.dtypes) + ", " + grid.name + ", " + path;
}

bool run_paths(const GridCase& of, const Grid& grid, int64_t room) {
  constexpr int kSteps = 2;
  const Layers layers({room, room + 1, 7, room - 1, room + 8192}, of.dtypes);
  if (DeviceModel::bytes(layers) > free_device_bytes() / 2) {
    report_not_run(case_name(of, grid, "both paths"), "no room for " + std::to_string(layers.extent) + " elements");
    return true;
  }
  StepSettings settings;
  settings.lr = 0.02;
  CpuTwin cpu(layers, all_layers(layers));
  cpu.fill();
  for (int i = 0; i < kSteps; ++i) cpu.step(of.op, settings);
  DeviceModel model(layers);
  const Stream stream;
  bool all = true;
  for (const int32_t path : {kTwoPass, kOnePass}) {
    PlanSettings planned = plan_settings(layers, path);
    planned.multiprocessors = grid.multiprocessors;
    const Plan plan(layers.sizes, planned);
    model.fill();
    for (int i = 0; i < kSteps; ++i) step(of.op, plan, model.buffers(), settings, stream.get());
    stream.wait();
    all &= report_check(case_name(of, grid, path_name(path)), cpu.difference(model.buffers()),
                        path_line(of.op, path, plan).add("multiprocessors", grid.multiprocessors).add("room", room));
  }
  return all;
}

}  // namespace

bool grids_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  const int64_t count = device_attribute(cudaDevAttrMultiProcessorCount);
  const Grid grids[] = {
      {"one multiprocessor", 1}, {"half of the multiprocessors", (count + 1) / 2}, {"all multiprocessors", 0}};
  bool all = true;
  for (const GridCase& of : kCases)
    for (const Grid& grid : grids) {
      const int64_t room = deadline.is_over() ? 0 : room_for(of.op, of.dtypes, grid.multiprocessors);
      if (deadline.is_over())
        report_not_run(case_name(of, grid, "both paths"), "no time left");
      else if (room == 0)
        report_not_run(case_name(of, grid, "both paths"), "this device runs no such step in one pass");
      else
        all &= run_paths(of, grid, room);
    }
  return all;
}

}  // namespace bench
