// The yardstick of all rates: the runtime's own device-to-device copy.
#pragma once

#include <string>

#include "gpu.d/stages.h"

namespace bench {

// Gigabytes a second, read and written. Measured beside what it judges: again wherever the model changes, since a
// device's clocks do too; each measurement is printed.
class CopyRate {
 public:
  explicit CopyRate(const StageOptions& options) : options_(options) {}
  double beside(const std::string& model);

 private:
  const StageOptions& options_;
  std::string model_;
  double rate_ = 0;
};

}  // namespace bench
