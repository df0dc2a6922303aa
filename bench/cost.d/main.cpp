// The cost model as a table, one for each GPU:
//
//   bench_cost [--gpus A,B] [--models a,b] [--ops x,y]    bytes, microseconds and the path that a plan chooses
//   bench_cost shares [--gpus A,B] [--models a,b]         the share of a copy's rate, by how the kernels are built,
//   beside
//                                                         what is wanted
#include <cstdio>
#include <exception>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>

#include "cost.d/shares.h"
#include "cost.h"
#include "models.h"

namespace bench {
namespace {

using Names = std::vector<std::string>;

Names split(const std::string& list) {
  Names names;
  std::istringstream text(list);
  for (std::string name; std::getline(text, name, ',');) names.push_back(name);
  return names;
}

struct Choice {
  Names gpus, models, ops;
};

bool contains(const Names& names, const std::string& name) {
  for (const std::string& one : names)
    if (one == name) return true;
  return names.empty();
}

void print_row(Op op, const std::string& model, const BufferDtypes& dtypes, const Gpu& gpu) {
  const std::vector<int64_t> sizes = layer_sizes(model);
  const StepCost cost = cost_of(op, sizes, dtypes, gpu);
  const StepTime time = time_of(op, sizes, dtypes, gpu);
  const double elements = static_cast<double>(cost.elements);
  const auto per_element = [&](int64_t bytes) { return static_cast<double>(bytes) / elements; };
  std::printf("%-19s %-11s %-14s %9.2f %9.2f %10.1f", name_of(op), model.c_str(), short_name(dtypes).c_str(),
              per_element(cost.two_pass.bytes), per_element(cost.two_pass.memory_bytes), time.two_pass);
  if (cost.one_pass.bytes == 0)
    std::printf("%10s%s\n", "", is_half(op) ? "one launch" : "no room for a tile: two passes");
  else
    std::printf(" %7.1f%% %9.2f %9.2f %10.1f %7.3f  %s%s\n", 100 * per_element(cost.held_elements),
                per_element(cost.one_pass.bytes), per_element(cost.one_pass.memory_bytes), time.one_pass,
                time.two_pass / time.one_pass, cost.chooses_one_pass ? "one pass" : "two passes",
                cost.chooses_one_pass && cost.holds_weights ? ", weights held too" : "");
  std::fflush(stdout);
}

void print_gpu(const Gpu& gpu, const Choice& choice) {
  std::printf("\n%s: %d multiprocessors, %d KiB of shared memory each, %lld MiB of L2, %.0f GB/s specified, %.0f GB/s %s\n"
              "(%s)\n",
              gpu.name, gpu.multiprocessors, gpu.shared.per_multiprocessor >> 10,
              static_cast<long long>(gpu.l2_bytes / kMega), gpu.specified_gb_per_s, copy_rate(gpu),
              gpu.copy_gb_per_s > 0 ? "of a measured copy" : "taken as a copy's rate", gpu.source);
  std::printf("%-19s %-11s %-14s %9s %9s %10s %8s %9s %9s %10s %7s  %s\n", "op", "model", "dtypes w/g/m", "two: B",
              "from mem.", "us", "held", "one: B", "from mem.", "us", "two/one", "a plan chooses");
  for (int op = 0; op < static_cast<int>(std::size(kTraffic)); ++op)
    for (const std::string& model : choice.models)
      for (const BufferDtypes& dtypes : {kFull, kMasters, kAllBf16})
        if (contains(choice.ops, name_of(static_cast<Op>(op)))) print_row(static_cast<Op>(op), model, dtypes, gpu);
}

// Refuses a name that is none of the known ones.
template <class Known>
void check_names(const char* option, const Names& names, const Known& known) {
  std::string all;
  for (const auto& one : known) all += std::string(all.empty() ? "" : ", ") + one.name;
  for (const std::string& name : names) {
    bool found = false;
    for (const auto& one : known) found |= name == one.name;
    if (!found) throw std::invalid_argument(std::string(option) + " has '" + name + "'; known are " + all);
  }
}

const Names kUsualModels{"resnet50", "jasper10x5", "bert-large", "llama3-8b", "10000x64", "400x1000"};
const Names kUsualOps{"novograd_step", "larc_sgd_step"};

void print_table(Choice choice) {
  if (choice.models.empty()) choice.models = kUsualModels;
  if (choice.ops.empty()) choice.ops = kUsualOps;
  std::printf(
      "Bytes a parameter: what the kernels ask for, and what of it comes from memory where half of L2 serves the "
      "reads that a second\npass repeats, newest first. Microseconds: predicted, no GPU has said it (%s).\n"
      "Nothing here is measured but the copy's rate where it says so.\n",
      kKernels.name);
  for (const Gpu& gpu : kGpus)
    if (contains(choice.gpus, gpu.name)) print_gpu(gpu, choice);
}

int run(const Choice& choice, bool shares) {
  check_names("--gpus", choice.gpus, kGpus);
  check_names("--ops", choice.ops, kTraffic);
  if (shares)
    print_shares(choice.gpus.empty() ? Names{"H100", "H200"} : choice.gpus, choice.models);
  else
    print_table(choice);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Choice choice;
  const bool shares = argc > 1 && std::string(argv[1]) == "shares";
  for (int i = shares ? 2 : 1; i < argc; i += 2) {
    const std::string name = argv[i];
    bench::Names* const list = name == "--gpus" ? &choice.gpus : name == "--models" ? &choice.models
                               : name == "--ops" ? &choice.ops : nullptr;
    if (!list || i + 1 == argc) {
      std::fprintf(stderr, "usage: %s [shares] [--gpus A,B] [--models a,b] [--ops x,y]\n", argv[0]);
      return 2;
    }
    *list = bench::split(argv[i + 1]);
  }
  try {
    return bench::run(choice, shares);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "bench_cost: %s\n", problem.what());
    return 2;
  }
}
