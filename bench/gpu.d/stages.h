// The stages of the GPU benchmark: each prints its findings as lines of JSON at once, and returns whether all its
// checks held. Exceptions say that a stage could not go on.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "json.h"
#include "step.h"

namespace bench {

struct StageOptions {
  double seconds = 60;                    // what is not begun by then is listed as not run
  std::string models;                     // timing, profile: a comma-separated list, empty for the usual ones
  std::string rows = "all";               // timing: of the usual ones the first, the rest or all
  double row_seconds = 0.5;               // timing, rivals: of measuring each implementation
  double warm_up_seconds = 0.3;           // timing, rivals: before the first copy, see copy_rate.cpp
  int64_t copy_bytes = int64_t{2} << 30;  // timing, rivals: at most, of the copy that all rates are compared with
  int64_t elements = 0;                   // large: in the large layer; 0 for more than 2^31
  int replays = 10'000;                   // graph: of a one-pass step; a tenth as many of a two-pass step
  int steps = 10'000;                     // soak, and at most so many of them on the CPU
  int cpu_steps = 10'000;
};

bool facts_stage();
bool graph_stage(const StageOptions& options);
bool large_stage(const StageOptions& options);
bool timing_stage(const StageOptions& options);
bool cases_stage(const StageOptions& options);
bool grids_stage(const StageOptions& options);
bool soak_stage(const StageOptions& options);
bool profile_stage(const StageOptions& options);
bool rivals_stage(const StageOptions& options);

// {"kind": "check", ...}; true where there is no difference.
inline bool report_check(const std::string& name, const std::string& difference, JsonLine line = {}) {
  line.add("kind", "check").add("name", name).add("ok", difference.empty());
  if (!difference.empty()) line.add("detail", difference);
  line.print();
  return difference.empty();
}

inline void report_not_run(const std::string& name, const std::string& reason) {
  JsonLine().add("kind", "not_run").add("name", name).add("reason", reason).print();
}

class Deadline {
 public:
  explicit Deadline(double seconds) : seconds_(seconds) {}
  bool is_over() const { return is_over_in(0); }
  bool is_over_in(double seconds) const { return spent() + seconds >= seconds_; }
  double spent() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  const double seconds_;
};

}  // namespace bench
