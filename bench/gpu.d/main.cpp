// One stage of the GPU benchmark, on device 0 of those CUDA shows:
//
//   bench_gpu facts|cases|grids|graph|soak|large|timing|rivals|profile [--seconds S] [--models a,b] [--rows
//   first|rest|all]
//             [--row-seconds S] [--warm-up-seconds S] [--copy-bytes N] [--elements N] [--replays N] [--steps N]
//             [--cpu-steps N]
//
// Findings are lines of JSON on stdout. Exit code: 0 all checks held, 1 one did not, 2 wrong arguments, 3 the stage
// could not go on.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "gpu.d/stages.h"

namespace {

using bench::StageOptions;

struct Stage {
  const char* name;
  bool (*run)(const StageOptions& options);
};
constexpr Stage kStages[] = {
    {"facts", [](const StageOptions&) { return bench::facts_stage(); }},
    {"cases", bench::cases_stage},
    {"grids", bench::grids_stage},
    {"graph", bench::graph_stage},
    {"soak", bench::soak_stage},
    {"large", bench::large_stage},
    {"timing", bench::timing_stage},
    {"rivals", bench::rivals_stage},
    {"profile", bench::profile_stage},
};

int usage(const char* program) {
  std::fprintf(stderr, "usage: %s ", program);
  for (const Stage& stage : kStages) std::fprintf(stderr, "%s%s", &stage == kStages ? "" : "|", stage.name);
  std::fprintf(
      stderr,
      " [--seconds S] [--models a,b] [--rows first|rest|all] [--row-seconds S] [--warm-up-seconds S] [--copy-bytes N]"
      " [--elements N] [--replays N] [--steps N] [--cpu-steps N]\n");
  return 2;
}

const Stage* stage_named(const std::string& name) {
  for (const Stage& stage : kStages)
    if (name == stage.name) return &stage;
  return nullptr;
}

// False where there is no such option, or it cannot have this value.
bool set_option(StageOptions& options, const std::string& name, const char* value) {
  if (name == "--seconds")
    options.seconds = std::atof(value);
  else if (name == "--models")
    options.models = value;
  else if (name == "--rows")
    options.rows = value;
  else if (name == "--row-seconds")
    options.row_seconds = std::atof(value);
  else if (name == "--warm-up-seconds")
    options.warm_up_seconds = std::atof(value);
  else if (name == "--copy-bytes")
    options.copy_bytes = std::atoll(value);
  else if (name == "--elements")
    options.elements = std::atoll(value);
  else if (name == "--replays")
    options.replays = std::atoi(value);
  else if (name == "--steps")
    options.steps = std::atoi(value);
  else if (name == "--cpu-steps")
    options.cpu_steps = std::atoi(value);
  else
    return false;
  return options.rows == "first" || options.rows == "rest" || options.rows == "all";
}

}  // namespace

int main(int argc, char** argv) {
  const Stage* const stage = stage_named(argc > 1 ? argv[1] : "");
  if (!stage) return usage(argv[0]);
  bench::StageOptions options;
  for (int i = 2; i < argc; i += 2)
    if (i + 1 == argc || !set_option(options, argv[i], argv[i + 1])) return usage(argv[0]);
  try {
    return stage->run(options) ? 0 : 1;
  } catch (const std::exception& problem) {
    bench::report_check(stage->name, problem.what());
    std::fprintf(stderr, "%s: %s\n", stage->name, problem.what());
    return 3;
  }
}
