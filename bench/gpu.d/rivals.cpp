// Times what else there is for the same work, in turn with this library on the same buffers.
#include "gpu.d/rivals.h"

#include <algorithm>
#include <sstream>

#include "gpu.d/attempt.h"
#include "gpu.d/chunks.h"
#include "gpu.d/copy_rate.h"
#include "gpu.d/rows.h"
#include "gpu.d/stages.h"
#include "gpu.d/timer.h"

namespace bench {
namespace {

constexpr int64_t kCheckedElements = int64_t{1} << 25;

template <class T>
DeviceBuffer on_device(const std::vector<T>& values) {
  DeviceBuffer buffer(static_cast<int64_t>(values.size() * sizeof(T)));
  BENCH_CUDA(cudaMemcpy, buffer.get(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice);
  return buffer;
}

// What the rivals keep beside a model's buffers.
class RivalPlan {
 public:
  explicit RivalPlan(const Layers& layers)
      : layers_(layers),
        begins_(on_device(layers.offsets)),
        ends_(on_device(ends())),
        first_chunks_(on_device(first_chunks())),
        chunk_sums_(first_chunks().back() * static_cast<int64_t>(sizeof(float))),
        norms_(count() * static_cast<int64_t>(sizeof(double))),
        scales_(count() * static_cast<int64_t>(sizeof(float))) {
    check_cuda(segmented_norms(nullptr, scratch_bytes_, nullptr, layers.dtypes.grads, segments(), nullptr, nullptr),
               "cub::DeviceSegmentedReduce");
    scratch_ = std::make_unique<DeviceBuffer>(static_cast<int64_t>(std::max<size_t>(scratch_bytes_, 1)));
  }

  void sum_segments(const StepBuffers& at, double* norms, cudaStream_t stream) {
    check_cuda(
        segmented_norms(scratch_->get(), scratch_bytes_, at.grads, layers_.dtypes.grads, segments(), norms, stream),
        "cub::DeviceSegmentedReduce");
  }
  void step_by_segments(const PlainNovograd& of, const StepBuffers& at, cudaStream_t stream) {
    double* const norms = static_cast<double*>(norms_.get());
    sum_segments(at, norms, stream);
    check_cuda(plain_apply(of, at, layers_.dtypes, segments(), layers_.extent, norms,
                           static_cast<float*>(scales_.get()), stream),
               "the plain apply");
  }
  void step_by_chunks(const PlainNovograd& of, const StepBuffers& at, cudaStream_t stream) {
    const ChunkedLayers chunked{count(),
                                layers_.sizes.data(),
                                layers_.offsets.data(),
                                static_cast<const int64_t*>(first_chunks_.get()),
                                static_cast<float*>(chunk_sums_.get()),
                                static_cast<float*>(scales_.get())};
    check_cuda(chunked_novograd(of, at, layers_.dtypes, chunked, stream), "the step by chunks");
  }

 private:
  int64_t count() const { return static_cast<int64_t>(layers_.sizes.size()); }
  Segments segments() const {
    return {count(), static_cast<const int64_t*>(begins_.get()), static_cast<const int64_t*>(ends_.get())};
  }
  std::vector<int64_t> ends() const {
    std::vector<int64_t> ends;
    for (size_t l = 0; l < layers_.sizes.size(); ++l) ends.push_back(layers_.offsets[l] + layers_.sizes[l]);
    return ends;
  }
  std::vector<int64_t> first_chunks() const {
    std::vector<int64_t> first{0};
    for (const int64_t size : layers_.sizes) first.push_back(first.back() + chunk_count(size));
    return first;
  }

  const Layers& layers_;
  const DeviceBuffer begins_, ends_, first_chunks_, chunk_sums_, norms_, scales_;
  std::unique_ptr<DeviceBuffer> scratch_;
  size_t scratch_bytes_ = 0;
};

// The library's op and those who do the same.
class Contest {
 public:
  Contest(const Row& row, const Layers& layers, double seconds)
      : row_(row),
        layers_(layers),
        plan_(layers.sizes, plan_settings(layers, 0)),
        rival_plan_(layers),
        timer_(layers, seconds) {
    works_.push_back(
        {[this](const DeviceModel& set) { step(row_.op, plan_, set.buffers(), settings_, timer_.stream().get()); }});
    if (is_norms(row.op)) {
      add("norms alone, cub::DeviceSegmentedReduce",
          [this](const StepBuffers& at, cudaStream_t on) { rival_plan_.sum_segments(at, at.grad_sums, on); });
    } else {
      add("novograd_step, cub::DeviceSegmentedReduce and one thread an element",
          [this](const StepBuffers& at, cudaStream_t on) { rival_plan_.step_by_segments(constants(), at, on); });
      add("novograd_step, chunks in kernel arguments",
          [this](const StepBuffers& at, cudaStream_t on) { rival_plan_.step_by_chunks(constants(), at, on); });
    }
  }

  bool run(double copy_gb_per_s) {
    const bool good = check();
    if (works_.size() == 1) return good;
    timer_.prepare(works_);
    timer_.measure(works_);
    for (const TimedWork& work : works_)
      if (&work != &works_.front()) report(work, copy_gb_per_s);
    return good;
  }

 private:
  template <class Launch>
  void add(const char* name, Launch launch) {
    works_.push_back({[this, launch](const DeviceModel& set) { launch(set.buffers(), timer_.stream().get()); }, name});
  }
  PlainNovograd constants() const { return {static_cast<float>(settings_.lr)}; }

  // One step of each from fresh buffers beside the CPU's, at a rate at which the weights show a wrong update. Who is
  // wrong is not timed.
  bool check() {
    settings_.lr = 1;
    CpuTwin cpu(layers_, some_layers(layers_, kCheckedElements));
    cpu.fill();
    cpu.step(row_.op, settings_);
    bool all = true;
    for (auto work = std::next(works_.begin()); work != works_.end();) {
      timer_.fill();
      work->launch(timer_.sets().front());
      timer_.stream().wait();
      const bool good = report_check(full_name(work->name) + ", its result is the CPU's but for the order of sums",
                                     cpu.difference(timer_.sets().front().buffers(), Agreement::kSameValue));
      all &= good;
      work = good ? std::next(work) : works_.erase(work);
    }
    settings_ = {};
    timer_.fill();
    return all;
  }

  std::string full_name(const char* rival) const {
    return std::string("rivals: ") + rival + " " + row_.model + " " + short_name(row_.dtypes);
  }

  void report(const TimedWork& work, double copy_rate) const {
    const ElementBytes bytes = element_bytes(row_.dtypes);
    std::vector<double> ratios;
    for (size_t i = 0; i < work.times.size(); ++i) ratios.push_back(work.times[i] / works_.front().times[i]);
    JsonLine line;
    line.add("kind", "rival").add("op", work.name).add("model", row_.model).add("dtypes", short_name(row_.dtypes));
    line.add("layers", static_cast<int64_t>(layers_.sizes.size())).add("parameters", layers_.elements());
    timer_.add_figures(
        line, work,
        {static_cast<double>(two_pass_bytes(row_.op, bytes)), static_cast<double>(floor_bytes(row_.op, bytes))},
        copy_rate);
    line.add("us_layerwise", quantile(works_.front().times, 0.5));
    line.add("over_layerwise", quantile(ratios, 0.5)).print();
  }

  const Row row_;
  const Layers& layers_;
  const Plan plan_;
  RivalPlan rival_plan_;
  Timer timer_;
  StepSettings settings_;
  std::list<TimedWork> works_;  // the library's first
};

std::vector<Row> contests(const std::string& models) {
  std::vector<Row> rows;
  std::istringstream names(models.empty() ? "resnet50,bert-large,10000x64" : models);
  std::vector<std::string> all;
  for (std::string model; std::getline(names, model, ',');) all.push_back(model);
  for (const BufferDtypes& dtypes : {kFull, kAllBf16, kMasters})
    for (const std::string& model : all)
      for (const Op op : {Op::kNovograd, Op::kGradNorms})
        if (op != Op::kGradNorms || dtypes.weights == dtypes.grads) rows.push_back({model, dtypes, op});
  return rows;
}

}  // namespace

bool rivals_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  CopyRate copy(options);
  bool all = true;
  for (const Row& row : contests(options.models)) {
    const Layers layers = layers_of(row);
    all &= attempt("rivals: of " + name_of(row), DeviceModel::bytes(layers), deadline,
                   [&] { return Contest(row, layers, options.row_seconds).run(copy.beside(row.model)); });
  }
  return all;
}

}  // namespace bench
