// Times the steps on real models, beside a device-to-device copy.
#include "gpu.d/attempt.h"
#include "gpu.d/copy_rate.h"
#include "gpu.d/stages.h"
#include "gpu.d/timed_row.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

std::vector<Row> chosen_rows(const StageOptions& options) {
  if (!options.models.empty()) return rows_on(options.models);
  std::vector<Row> rows;
  if (options.rows != "rest") rows = first_rows();
  if (options.rows != "first")
    for (const Row& row : other_rows()) rows.push_back(row);
  return rows;
}

}  // namespace

bool timing_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  CopyRate copy(options);
  bool all = true;
  for (const Row& row : chosen_rows(options)) {
    const Layers layers = layers_of(row);
    all &= attempt("timing: " + name_of(row), DeviceModel::bytes(layers), deadline,
                   [&] { return time_row(row, layers, copy.beside(row.model), options.row_seconds); });
  }
  return all;
}

}  // namespace bench
