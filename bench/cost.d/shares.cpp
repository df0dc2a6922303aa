#include "cost.d/shares.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "cost.h"
#include "models.h"

namespace bench {
namespace {

constexpr Op kOp = Op::kNovograd;
constexpr const Kernels* kBuilt[] = {&kBlockATile, &kWarpATile, &kBulk};

enum class Path { kOne, kTwo };

// Share: in one pass of the floor's bytes, in two of the bytes that two passes move. us: of tiny layers, whose floor
// says nothing. 0: nothing is wanted.
struct Row {
  const char* model;
  BufferDtypes dtypes;
  Path path;
  double wanted_share = 0, wanted_us = 0;
};
// Wanted of an H200.
constexpr Row kRows[] = {{"resnet50", kFull, Path::kOne, 0.93},     {"resnet50", kFull, Path::kTwo, 0.80},
                         {"bert-large", kFull, Path::kOne, 0.95},   {"bert-large", kFull, Path::kTwo, 0.80},
                         {"jasper10x5", kFull, Path::kOne, 0.90},   {"jasper10x5", kFull, Path::kTwo, 0.80},
                         {"resnet50", kAllBf16, Path::kOne, 0.85},  {"resnet50", kAllBf16, Path::kTwo, 0.80},
                         {"llama3-8b", kAllBf16, Path::kOne, 0.90}, {"llama3-8b", kAllBf16, Path::kTwo, 0.80},
                         {"10000x64", kFull, Path::kOne},           {"10000x64", kFull, Path::kTwo, 0, 30},
                         {"100000x64", kFull, Path::kOne},          {"100000x64", kFull, Path::kTwo},
                         {"400x1000", kFull, Path::kOne},           {"400x1000", kFull, Path::kTwo}};

bool is_tiny(const Row& row) { return std::string(row.model).find('x') != std::string::npos && row.model[0] <= '9'; }

// One row on one GPU, by one way to build the kernels.
class Question {
 public:
  Question(const Row& row, const Gpu& gpu)
      : row_(row),
        gpu_(gpu),
        sizes_(layer_sizes(row.model)),
        cost_(cost_of(kOp, sizes_, row.dtypes, gpu, LAYERWISE_PATH_ONE_PASS)),
        floor_us_(bench::floor_us(kOp, sizes_, row.dtypes, gpu)) {}

  double floor_us() const { return floor_us_; }
  double us(const Kernels& kernels, const Latencies& latencies) const {
    const StepTime time = time_of(kOp, sizes_, row_.dtypes, gpu_, LAYERWISE_PATH_ONE_PASS, kernels, latencies);
    return row_.path == Path::kOne ? time.one_pass : time.two_pass;
  }
  double share(double us) const { return floor_us_ / us * (row_.path == Path::kOne ? 1 : asked() / floor_bytes()); }
  // Were every byte from memory moved at the copy's rate, and nothing waited for.
  double share_by_bytes() const {
    const PathCost& cost = row_.path == Path::kOne ? cost_.one_pass : cost_.two_pass;
    return share(static_cast<double>(cost.memory_bytes) / copy_rate(gpu_) / 1e3);
  }

 private:
  double asked() const { return static_cast<double>(cost_.two_pass.bytes); }
  double floor_bytes() const { return floor_us_ * copy_rate(gpu_) * 1e3; }

  const Row& row_;
  const Gpu& gpu_;
  const std::vector<int64_t> sizes_;
  const StepCost cost_;
  const double floor_us_;
};

struct NamedLatency {
  const char* name;
  double Latencies::*value;
};
constexpr NamedLatency kLatencies[] = {{"loads that L2 serves", &Latencies::l2},
                                       {"loads that memory serves", &Latencies::memory},
                                       {"atomics", &Latencies::atomic},
                                       {"fences", &Latencies::fence},
                                       {"barriers", &Latencies::barrier},
                                       {"tiles' sums", &Latencies::reduction},
                                       {"layers' constants", &Latencies::scalars},
                                       {"launches", &Latencies::launch}};

// Which latencies cost the most: what the figure would be without each.
std::string reasons(const Question& question, const Row& row, const Kernels& kernels, const Latencies& latencies) {
  const auto figure = [&](const Latencies& at) {
    const double us = question.us(kernels, at);
    return row.wanted_us > 0 ? us : question.share(us);
  };
  const auto words = [&](double value) {
    char text[32];
    std::snprintf(text, sizeof text, row.wanted_us > 0 ? "%.0f us" : "%.2f", value);
    return std::string(text);
  };
  std::vector<std::pair<double, const char*>> without;
  Latencies none = latencies;
  for (const NamedLatency& one : kLatencies) {
    Latencies at = latencies;
    at.*one.value = none.*one.value = 0;
    without.push_back({figure(at), one.name});
  }
  std::sort(without.begin(), without.end());
  if (row.wanted_us == 0) std::reverse(without.begin(), without.end());
  std::string text = std::string("cannot be, with ") + kernels.name + ": if " + without[0].second + " took no time " +
                     words(without[0].first) + ", if " + without[1].second + " took none " + words(without[1].first) +
                     ", if nothing did " + words(figure(none));
  if (row.wanted_us == 0) text += "; by the bytes from memory alone " + words(question.share_by_bytes());
  return text;
}

void print_row(const Row& row, const Gpu& gpu, bool has_wishes) {
  const Question question(row, gpu);
  const Latencies early = latencies_of(gpu), late = latencies_of(gpu, kLatest);
  std::printf("%-11s %-14s %-10s", row.model, short_name(row.dtypes).c_str(),
              row.path == Path::kOne ? "one pass" : "two passes");
  double best = 0;
  const Kernels* of = nullptr;
  for (const Kernels* kernels : kBuilt) {
    const double first = question.us(*kernels, early), last = question.us(*kernels, late);
    if (is_tiny(row))
      std::printf(" %9.1f-%-9.1f", first, last);
    else
      std::printf("      %.2f-%.2f     ", question.share(first), question.share(last));
    const double figure = row.wanted_us > 0 ? -first : question.share(first);
    if (!of || figure > best) best = figure, of = kernels;
  }
  if (is_tiny(row))
    std::printf(" us, floor %.1f", question.floor_us());
  else
    std::printf("   %.2f", question.share_by_bytes());
  if (!has_wishes || (row.wanted_share == 0 && row.wanted_us == 0)) return (void)std::printf("\n");
  const bool holds = row.wanted_us > 0 ? -best <= row.wanted_us : best >= row.wanted_share;
  if (row.wanted_us > 0)
    std::printf("   wanted %.0f us%s\n", row.wanted_us, holds ? "" : ":");
  else
    std::printf("   wanted %.2f%s\n", row.wanted_share, holds ? "" : ":");
  if (!holds) std::printf("    %s\n", reasons(question, row, *of, early).c_str());
}

bool contains(const std::vector<std::string>& names, const char* name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

void print_shares(const std::vector<std::string>& gpus, const std::vector<std::string>& models) {
  std::printf(
      "NovoGrad, predicted, no GPU has said it: share of a copy's rate at the bytes that a step must move (two passes: "
      "at "
      "the bytes that they do),\nof tiny layers microseconds; at the latencies of the tables and at %.1f times those. "
      "By how the kernels are built:\n",
      kLatest);
  for (size_t i = 0; i < std::size(kBuilt); ++i)
    std::printf("  %zu  %s%s\n", i + 1, kBuilt[i]->name, kBuilt[i] == &kKernels ? " (kernels/ as it is)" : "");
  for (const Gpu& gpu : kGpus) {
    if (!contains(gpus, gpu.name)) continue;
    std::printf("\n%-37s %11s%20s%20s%16s\n", gpu.name, "1", "2", "3", "bytes");
    for (const Row& row : kRows)
      if (contains(models, row.model)) print_row(row, gpu, std::string(gpu.name) == "H200"), std::fflush(stdout);
  }
}

}  // namespace bench
