// The yardstick of all rates: the runtime's own device-to-device copy.
#pragma once

#include <string>

namespace bench {

// Gigabytes a second, read and written. Measured beside what it judges: again wherever the model changes, since a
// device's clocks do too; each measurement is printed.
class CopyRate {
 public:
  double beside(const std::string& model);

 private:
  std::string model_;
  double rate_ = 0;
};

}  // namespace bench
