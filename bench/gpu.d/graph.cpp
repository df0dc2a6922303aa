// A captured step against the same step launched eagerly and against the CPU, over many steps between which everything
// that may live on the device changes: gradients, learning rate, gradient scale, found_inf and the step counter.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"
#include "numerics/dtype.h"

namespace bench {
namespace {

constexpr int kGradSets = 4;

// What each step is given, in one piece of memory on the host and one on the device.
struct Schedule {
  struct Entry {
    int64_t completed;  // steps, where the counter is set
    float lr, grad_scale, found_inf, unused;
  };
  std::vector<Entry> entries;

  explicit Schedule(int steps) {
    constexpr float rates[] = {1e-3f, 0.02f, 0.5f, 0, 1e-4f}, scales[] = {1, 1024, 0.125f};
    for (int i = 0; i < steps; ++i)
      entries.push_back({sets_counter(i) ? i : 0, rates[i % 5], scales[i % 3], i % 13 == 5 ? 1.0f : 0.0f, 0});
  }
  static bool sets_counter(int step) { return step % 97 == 50; }
};

// The scalars a step reads, in one piece of memory as well.
struct Scalars {
  int64_t completed, nonfinite;
  float lr, grad_scale, found_inf, unused;
};

StepSettings settings_of(Scalars* scalars) {
  StepSettings settings;
  settings.lr_ptr = &scalars->lr;
  settings.grad_scale_ptr = &scalars->grad_scale;
  settings.found_inf = &scalars->found_inf;
  settings.step_ptr = &scalars->completed;
  settings.nonfinite_layers = &scalars->nonfinite;
  return settings;
}

Layers graph_layers() {
  return Layers({5, 8192, 0, 1, 100'003, 3 * 8192, 64, 8191, 8193, 1000, 40'000, 7}, {kF32, kBf16, kF32});
}

// Gradient sets: the pattern shifted; the second has a zero layer, the third a NaN.
std::vector<std::vector<layerwise::bfloat16>> grad_sets(const Layers& layers) {
  std::vector<std::vector<layerwise::bfloat16>> sets;
  for (int set = 0; set < kGradSets; ++set) {
    sets.emplace_back(static_cast<size_t>(layers.extent));
    fill_values(sets.back().data(), kBf16, 31 * set, layers.extent, 7, 0.01f);
  }
  for (int64_t i = 0; i < layers.sizes[4]; ++i) sets[1][static_cast<size_t>(layers.offsets[4] + i)].bits = 0;
  layerwise::store(sets[2][static_cast<size_t>(layers.offsets[5] + 9000)], std::numeric_limits<float>::quiet_NaN());
  return sets;
}

void copy_async(void* to, const void* from, size_t bytes, const Stream& stream) {
  BENCH_CUDA(cudaMemcpyAsync, to, from, bytes, cudaMemcpyDefault, stream.get());
}

// One device's share of the comparison: a model, its scalars, and how its step is launched.
struct Side {
  DeviceModel model;
  DeviceBuffer scalars{sizeof(Scalars)};

  explicit Side(const Layers& layers) : model(layers, true) { reset(); }

  void reset() {
    model.fill();
    BENCH_CUDA(cudaMemset, scalars.get(), 0, sizeof(Scalars));
    BENCH_CUDA(cudaDeviceSynchronize);
  }
  Scalars* device_scalars() const { return static_cast<Scalars*>(scalars.get()); }

  void prepare(int i, const DeviceBuffer& schedule, const DeviceBuffer& sets, int64_t set_bytes, const Stream& stream) {
    const auto* entry = static_cast<const Schedule::Entry*>(schedule.get()) + i;
    copy_async(model.buffers().grads, static_cast<const char*>(sets.get()) + (i % kGradSets) * set_bytes,
               static_cast<size_t>(set_bytes), stream);
    copy_async(&device_scalars()->lr, &entry->lr, 3 * sizeof(float), stream);
    if (Schedule::sets_counter(i)) copy_async(&device_scalars()->completed, &entry->completed, sizeof(int64_t), stream);
  }
};

std::string scalars_difference(const char* what, const Scalars& a, const Scalars& b) {
  if (a.completed == b.completed && a.nonfinite == b.nonfinite) return "";
  return std::string(what) + ": " + std::to_string(a.completed) + " steps completed and " +
         std::to_string(a.nonfinite) + " layers not finite, the CPU says " + std::to_string(b.completed) + " and " +
         std::to_string(b.nonfinite);
}

class Comparison {
 public:
  Comparison(Op op, int32_t path, int steps)
      : op_(op),
        path_(path),
        layers_(graph_layers()),
        schedule_(steps),
        sets_(grad_sets(layers_)),
        set_bytes_(layers_.extent * 2),
        device_schedule_(static_cast<int64_t>(schedule_.entries.size() * sizeof(Schedule::Entry))),
        device_sets_(kGradSets * set_bytes_),
        plan_(layers_.sizes, plan_settings(layers_, path_)),
        graph_plan_(layers_.sizes, plan_settings(layers_, path_)),
        eager_(layers_),
        replayed_(layers_),
        cpu_(layers_, all_layers(layers_), true) {
    cpu_.fill();
    BENCH_CUDA(cudaMemcpy, device_schedule_.get(), schedule_.entries.data(),
               static_cast<size_t>(device_schedule_.bytes()), cudaMemcpyHostToDevice);
    for (int set = 0; set < kGradSets; ++set)
      BENCH_CUDA(cudaMemcpy, static_cast<char*>(device_sets_.get()) + set * set_bytes_, sets_[set].data(),
                 static_cast<size_t>(set_bytes_), cudaMemcpyHostToDevice);
    BENCH_CUDA(cudaDeviceSynchronize);
    // Kernels are loaded when they are first launched; that is not for a capture to do.
    step(op_, plan_, eager_.model.buffers(), {}, stream_.get());
    stream_.wait();
    eager_.reset();
  }

  // Until the deadline.
  bool run(const Deadline& deadline) {
    const int steps = static_cast<int>(schedule_.entries.size());
    const Graph graph(stream_, [&] {
      step(op_, graph_plan_, replayed_.model.buffers(), settings_of(replayed_.device_scalars()), stream_.get());
    });
    std::string difference;
    int i = 0;
    while (i < steps && difference.empty()) {
      one_step(i++, graph);
      const bool over = deadline.is_over();
      // Often at first: what differs by a bit may be rounded away later.
      if ((i & (i - 1)) == 0 || i % 1000 == 0 || i == steps || over) difference = compare();
      if (over) break;
    }
    if (difference.empty() && i < steps)
      report_not_run(name() + ": replays " + std::to_string(i + 1) + " to " + std::to_string(steps), "no time left");
    if (!difference.empty()) difference = "by step " + std::to_string(i) + ", " + difference;
    return report_check(name() + ", replays, eager steps and the CPU", difference,
                        path_line(op_, path_, graph_plan_).add("replays", i).add("graph_nodes", graph.nodes()));
  }

  std::string name() const { return std::string("graph: ") + name_of(op_) + ", " + path_name(path_); }

 private:
  void one_step(int i, const Graph& graph) {
    eager_.prepare(i, device_schedule_, device_sets_, set_bytes_, stream_);
    step(op_, plan_, eager_.model.buffers(), settings_of(eager_.device_scalars()), stream_.get());
    replayed_.prepare(i, device_schedule_, device_sets_, set_bytes_, stream_);
    graph.launch(stream_);

    const Schedule::Entry& entry = schedule_.entries[static_cast<size_t>(i)];
    std::memcpy(cpu_.buffers().grads, sets_[i % kGradSets].data(), static_cast<size_t>(set_bytes_));
    if (Schedule::sets_counter(i)) scalars_.completed = entry.completed;
    scalars_.lr = entry.lr;
    scalars_.grad_scale = entry.grad_scale;
    scalars_.found_inf = entry.found_inf;
    cpu_.step(op_, settings_of(&scalars_));
  }

  std::string compare() {
    stream_.wait();
    for (const Side* side : {&eager_, &replayed_}) {
      const char* const what = side == &eager_ ? "eager step" : "replay";
      Scalars scalars;
      BENCH_CUDA(cudaMemcpy, &scalars, side->scalars.get(), sizeof scalars, cudaMemcpyDeviceToHost);
      const std::string found = cpu_.difference(side->model.buffers());
      if (!found.empty()) return std::string(what) + ": " + found;
      const std::string counters = scalars_difference(what, scalars, scalars_);
      if (!counters.empty()) return counters;
    }
    return "";
  }

  const Op op_;
  const int32_t path_;
  const Layers layers_;
  const Schedule schedule_;
  const std::vector<std::vector<layerwise::bfloat16>> sets_;
  const int64_t set_bytes_;
  const DeviceBuffer device_schedule_, device_sets_;
  const Stream stream_;
  const Plan plan_, graph_plan_;
  Side eager_, replayed_;
  Scalars scalars_{};
  CpuTwin cpu_;
};

}  // namespace

bool graph_stage(const StageOptions& options) {
  const Deadline whole(options.seconds);
  bool all = true;
  int left = 2 * static_cast<int>(std::size(kSteps));
  for (const int32_t path : {kTwoPass, kOnePass})
    for (const Op op : kSteps) {
      const int replays = path == kOnePass ? options.replays : std::max(options.replays / 10, 1);
      const Deadline share((options.seconds - whole.spent()) / left--);
      if (whole.is_over())
        report_not_run(std::string("graph: ") + name_of(op) + ", " + path_name(path), "no time left");
      else
        all &= Comparison(op, path, replays).run(share);
    }
  return all;
}

}  // namespace bench
