// One stage of the GPU benchmark, on device 0 of those CUDA shows:
//
//   bench_gpu facts|graph|large|timing|cases [--seconds S] [--models a,b] [--elements N] [--replays N]
//
// Findings are lines of JSON on stdout. Exit code: 0 all checks held, 1 one did not, 2 wrong arguments, 3 the stage
// could not go on.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "gpu.d/stages.h"

namespace {

int usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s facts|graph|large|timing|cases [--seconds S] [--models a,b] [--elements N] [--replays N]\n",
               program);
  return 2;
}

bool run(const std::string& stage, const bench::StageOptions& options) {
  if (stage == "facts") return bench::facts_stage();
  if (stage == "graph") return bench::graph_stage(options);
  if (stage == "large") return bench::large_stage(options);
  if (stage == "timing") return bench::timing_stage(options);
  return bench::cases_stage();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string stage = argc > 1 ? argv[1] : "";
  if (stage != "facts" && stage != "graph" && stage != "large" && stage != "timing" && stage != "cases")
    return usage(argv[0]);
  bench::StageOptions options;
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return usage(argv[0]);
    if (name == "--seconds")
      options.seconds = std::atof(argv[i + 1]);
    else if (name == "--models")
      options.models = argv[i + 1];
    else if (name == "--elements")
      options.elements = std::atoll(argv[i + 1]);
    else if (name == "--replays")
      options.replays = std::atoi(argv[i + 1]);
    else
      return usage(argv[0]);
  }
  try {
    return run(stage, options) ? 0 : 1;
  } catch (const std::exception& problem) {
    bench::report_check(stage, problem.what());
    std::fprintf(stderr, "%s: %s\n", stage.c_str(), problem.what());
    return 3;
  }
}
