// Times the CPU backend. Prints a table to stderr while it runs and one line of JSON per row to stdout.
//
//   bench_cpu [--seconds S] [--memory GB] [--suites a,b] [--models a,b]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "cpu/cores.h"
#include "cpu/suites.h"
#include "json.h"
#include "models.h"

namespace {

using namespace bench;

struct Options {
  double seconds = 1;
  double memory_gb = 0;  // 0: nine tenths of what is free
  std::string suites = "models,sizes,layers,zeros,isa,threads";
  std::string models;  // empty: all
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (value && name == "--seconds")
      options.seconds = std::atof(value);
    else if (value && name == "--memory")
      options.memory_gb = std::atof(value);
    else if (value && name == "--suites")
      options.suites = value;
    else if (value && name == "--models")
      options.models = value;
    else {
      std::fprintf(stderr, "usage: %s [--seconds S] [--memory GB] [--suites a,b] [--models a,b]\n", argv[0]);
      std::exit(2);
    }
  }
  return options;
}

bool contains(const std::string& list, const std::string& name) {
  std::istringstream names(list);
  for (std::string each; std::getline(names, each, ',');)
    if (each == name) return true;
  return false;
}

double free_memory_gb() {
  std::ifstream file("/proc/meminfo");
  for (std::string key, line; file >> key && std::getline(file, line);)
    if (key == "MemAvailable:") return std::atof(line.c_str()) * 1024 / 1e9;
  return 8;
}

const char* isa_name(int32_t isa) {
  const char* const names[] = {"auto", "baseline", "avx2", "avx512", "neon"};
  return isa >= 0 && isa <= 4 ? names[isa] : "?";
}

std::string label(const Case& row) { return row.model + (row.zero_grads ? ", zero gradients" : ""); }

void print_heading() {
  std::fprintf(stderr, "%-13s | %-24s | %-14s | %-8s | %2s | %10s | %11s | %6s | %-16s | %7s | %8s\n", "op", "model",
               "dtypes", "isa", "th", "us", "bytes/param", "GB/s", "x plain loop", "fastest", "ns/layer");
}

void report(const Case& row, const Measurement& m) {
  const int bytes = floor_bytes(row.op, element_bytes(row.dtypes));
  const double rate = bytes * static_cast<double>(m.elements) / m.step_us / 1e3;
  // What a layer costs beyond the plain loop, of one thread's time.
  const double per_layer = (m.step_us - m.plain_us) * 1e3 * m.threads / static_cast<double>(m.layers);
  const double fastest = m.fastest_plain_us / m.fastest_step_us;
  std::fprintf(stderr, "%-13s | %-24s | %-14s | %-8s | %2d | %10.1f | %11d | %6.2f | %4.2f (%4.2f-%4.2f) | %7.2f | %8.1f\n",
               name_of(row.op), label(row).c_str(), short_name(row.dtypes).c_str(), isa_name(m.isa), m.threads, m.step_us,
               bytes, rate, m.ratio, m.ratio_q1, m.ratio_q3, fastest, per_layer);
  JsonLine line;
  if (m.share_of_allowance > 0) {
    std::fprintf(stderr, "%32s %.2f of its allowance\n", "", m.share_of_allowance);
    line.add("share_of_allowance", m.share_of_allowance);
  }
  line
      .add("suite", row.suite)
      .add("op", name_of(row.op))
      .add("model", row.model)
      .add("zero_grads", row.zero_grads)
      .add("dtypes", short_name(row.dtypes))
      .add("isa", isa_name(m.isa))
      .add("threads", m.threads)
      .add("layers", m.layers)
      .add("parameters", m.elements)
      .add("pairs", m.pairs)
      .add("us", m.step_us)
      .add("bytes_per_parameter", bytes)
      .add("gb_per_s", rate)
      .add("plain_us", m.plain_us)
      .add("x_plain_loop", m.ratio)
      .add("x_plain_loop_q1", m.ratio_q1)
      .add("x_plain_loop_q3", m.ratio_q3)
      .add("x_plain_loop_fastest", fastest)
      .add("ns_per_layer_beyond_plain_loop", per_layer)
      .print();
}

void leave_out(const Case& row, const std::string& reason) {
  std::fprintf(stderr, "%-13s | %-24s | %-14s | %-8s | not run: %s\n", name_of(row.op), label(row).c_str(),
               short_name(row.dtypes).c_str(), isa_name(row.isa), reason.c_str());
  JsonLine()
      .add("suite", row.suite)
      .add("op", name_of(row.op))
      .add("model", row.model)
      .add("dtypes", short_name(row.dtypes))
      .add("isa", isa_name(row.isa))
      .add("not_run", reason)
      .print();
}

void run_row(const Case& row, double seconds, double memory_gb, Allowance* allowance) {
  const double needed = static_cast<double>(memory_bytes(row)) / 1e9;
  if (needed > memory_gb) {
    char reason[100];
    std::snprintf(reason, sizeof reason, "needs %.1f GB of memory, %.1f GB may be used", needed, memory_gb);
    return leave_out(row, reason);
  }
  try {
    report(row, measure(row, seconds, allowance));
  } catch (const std::exception& problem) {
    leave_out(row, problem.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const double memory_gb = options.memory_gb > 0 ? options.memory_gb : 0.9 * free_memory_gb();
  JsonLine()
      .add("library", layerwise_build_info())
      .add("cores", layerwise::available_cores())
      .add("memory_gb", memory_gb)
      .print();
  std::fprintf(stderr, "%s%.1f GB of memory may be used; %.1f s a row\n", layerwise_build_info(), memory_gb,
               options.seconds);
  int rows = 0;
  for (const char* suite : kSuites) {
    if (!contains(options.suites, suite)) continue;
    std::fprintf(stderr, "\n%s\n", suite);
    const auto allowance = suite == std::string("layers") ? std::make_unique<Allowance>() : nullptr;
    if (allowance)
      std::fprintf(stderr,
                   "the plain loop on resnet50: %.2f GB/s at first; allowance: bytes at its rate and 100 ns a layer over "
                   "the threads\n",
                   allowance->gb_per_s());
    print_heading();
    for (const Case& row : suite_rows(suite, layerwise::available_cores()))
      if (options.models.empty() || contains(options.models, row.model)) {
        run_row(row, options.seconds, memory_gb, allowance.get());
        ++rows;
      }
  }
  if (rows > 0) return 0;
  std::fprintf(stderr, "no row of suites %s has a model of --models %s\n", options.suites.c_str(), options.models.c_str());
  return 2;
}
