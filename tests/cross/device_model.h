// A model's twin in device memory: the same layout, the same contents, the same alignment, stepped by a CUDA plan.
#pragma once

#include <cuda_runtime_api.h>

#include "../oracle/model.h"

#define REQUIRE_CUDA(call)                                    \
  do {                                                        \
    const cudaError_t result_of_call = (call);                \
    INFO(cudaGetErrorString(result_of_call));                 \
    REQUIRE(result_of_call == cudaSuccess);                   \
  } while (false)

namespace cross {

// Bytes of device memory with a copy of some host bytes.
class DeviceBytes {
 public:
  DeviceBytes() = default;
  DeviceBytes(const void* from, size_t size) : size_(size) {
    if (size == 0) return;
    void* address = nullptr;
    REQUIRE_CUDA(cudaMalloc(&address, size));
    address_.reset(static_cast<std::byte*>(address), [](std::byte* memory) { cudaFree(memory); });
    write(from);
  }
  std::byte* data() const { return address_.get(); }
  void write(const void* from) { REQUIRE_CUDA(cudaMemcpy(address_.get(), from, size_, cudaMemcpyHostToDevice)); }
  void read(void* to) const {
    if (size_ > 0) REQUIRE_CUDA(cudaMemcpy(to, address_.get(), size_, cudaMemcpyDeviceToHost));
  }

 private:
  size_t size_ = 0;
  std::shared_ptr<std::byte> address_;
};

// What a call reads and counts through pointers.
struct Scalars {
  float lr = 0, grad_scale = 1, found_inf = 0;
  int64_t nonfinite = 0, completed = 0;
};

// The options with each pointer that is set moved from one Scalars to another.
template <class Options>
Options moved(Options options, const Scalars& from, Scalars* to) {
  if (options.lr_ptr == &from.lr) options.lr_ptr = &to->lr;
  if (options.grad_scale_ptr == &from.grad_scale) options.grad_scale_ptr = &to->grad_scale;
  if (options.found_inf == &from.found_inf) options.found_inf = &to->found_inf;
  if (options.nonfinite_layers == &from.nonfinite) options.nonfinite_layers = &to->nonfinite;
  return options;
}

// How a plan is asked to run its steps; 0 is its own choice.
struct Way {
  int32_t path = 0;
  int64_t experimental = 0;
  Way(int32_t path = 0, int64_t experimental = 0) : path(path), experimental(experimental) {}
};

constexpr int64_t kEveryExperiment = LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH | LAYERWISE_EXPERIMENTAL_BULK_COPY;

class DeviceModel {
 public:
  // plan: the caller's, in place of one made here.
  explicit DeviceModel(const oracle::Model& host, int32_t device = 0, const Way& way = {}, oracle::PlanHandle plan = {})
      : layout_(host.layout),
        weights_(host.weights),
        grads_(host.grads),
        moment_(host.moment),
        second_moment_(host.second_moment),
        max_second_moment_(host.max_second_moment),
        extra_(host.extra),
        stats_(host.stats.data(), host.stats.size() * sizeof(double)),
        mask_(layout_.mask.data(), layout_.mask.size()),
        scalars_(std::make_unique<Scalars>().get(), sizeof(Scalars)),
        grad_sums_(oracle::Model::Sums(layout_).grads.data(), layout_.sizes.size() * sizeof(double)),
        weight_sums_(oracle::Model::Sums(layout_).weights.data(), layout_.sizes.size() * sizeof(double)) {
    auto options = oracle::plan_options(layout_);
    options.device = device;
    options.threads = 0;
    options.path = way.path;
    options.experimental = way.experimental;
    plan_ = plan ? plan : oracle::create_plan(options);
    layerwise_layer_options layers;
    REQUIRE_OK(layerwise_layer_options_init(&layers, sizeof layers));
    layers.lr_mult = layout_.lr_mult.empty() ? nullptr : layout_.lr_mult.data();
    layers.wd_mult = layout_.wd_mult.empty() ? nullptr : layout_.wd_mult.data();
    layers.skip_larc = layout_.skip_larc.empty() ? nullptr : layout_.skip_larc.data();
    REQUIRE_OK(layerwise_plan_set_layers(plan_.get(), &layers));
  }

  layerwise_plan* plan() const { return plan_.get(); }
  int64_t query(int32_t key) const {
    int64_t value = -1;
    REQUIRE_OK(layerwise_plan_query(plan(), key, &value));
    return value;
  }
  Scalars* device_scalars() const { return reinterpret_cast<Scalars*>(scalars_.data()); }

  // Gradients and scalars of the next step; the rest lives on the device.
  void push(const oracle::Model& host, const Scalars& scalars) {
    grads_.write(host.grads);
    scalars_.write(&scalars);
  }

  int32_t novograd(const layerwise_novograd_options& options, cudaStream_t stream = nullptr) {
    return novograd_step(plan(), of(weights_), of(grads_), of(moment_), second_moment_.data(),
                         options.amsgrad ? max_second_moment_.data() : nullptr, of(extra_), mask(), stats(), &options,
                         stream);
  }
  int32_t larc_scale(const layerwise_larc_options& options, cudaStream_t stream = nullptr) {
    return ::larc_scale(plan(), of(weights_), of(grads_), mask(), stats(), &options, stream);
  }
  int32_t larc_sgd(const layerwise_larc_options& larc, const layerwise_sgd_options& sgd, cudaStream_t stream = nullptr) {
    return larc_sgd_step(plan(), of(weights_), of(grads_), sgd.momentum == 0 ? nullptr : of(moment_), of(extra_),
                         mask(), stats(), &larc, &sgd, stream);
  }

  int32_t larc_novograd(const layerwise_larc_options& larc, const layerwise_novograd_options& options,
                        cudaStream_t stream = nullptr) {
    return layerwise_larc_novograd_step(plan(), of(weights_), of(grads_), of(moment_), second_moment_.data(),
                                        options.amsgrad ? max_second_moment_.data() : nullptr, of(extra_), mask(),
                                        stats(), &larc, &options, stream);
  }

  // The same in two halves: the sums stay on the device.
  int32_t partial_norms(bool of_weights, int32_t norm, bool joins, cudaStream_t stream = nullptr) {
    return layerwise_partial_norms(plan(), of(weights_), layout_.split() && of_weights && joins ? of(extra_) : nullptr,
                                   of(grads_), mask(), grad_sums(), of_weights ? weight_sums() : nullptr,
                                   LAYERWISE_SUMS_LAYERS, norm, stream);
  }
  int32_t novograd_apply(const layerwise_novograd_options& options, cudaStream_t stream = nullptr) {
    return layerwise_novograd_apply(plan(), of(weights_), of(grads_), of(moment_), second_moment_.data(),
                                    options.amsgrad ? max_second_moment_.data() : nullptr, of(extra_), mask(), stats(),
                                    grad_sums(), LAYERWISE_SUMS_LAYERS, &options, stream);
  }
  int32_t larc_novograd_apply(const layerwise_larc_options& larc, const layerwise_novograd_options& options,
                              cudaStream_t stream = nullptr) {
    return layerwise_larc_novograd_apply(plan(), of(weights_), of(grads_), of(moment_), second_moment_.data(),
                                         options.amsgrad ? max_second_moment_.data() : nullptr, of(extra_), mask(),
                                         stats(), grad_sums(), weight_sums(), LAYERWISE_SUMS_LAYERS, &larc, &options,
                                         stream);
  }
  int32_t larc_apply(const layerwise_larc_options& larc, const layerwise_sgd_options* sgd,
                     cudaStream_t stream = nullptr) {
    return layerwise_larc_apply(plan(), of(weights_), of(grads_), sgd && sgd->momentum != 0 ? of(moment_) : nullptr,
                                sgd ? of(extra_) : nullptr, mask(), stats(), grad_sums(), weight_sums(),
                                LAYERWISE_SUMS_LAYERS, &larc, sgd, stream);
  }

  void push_sums(const oracle::Model::Sums& sums) {
    grad_sums_.write(sums.grads.data());
    weight_sums_.write(sums.weights.data());
  }

  // What the device has now. Waits for it.
  void pull_sums(oracle::Model::Sums& sums) const {
    REQUIRE_CUDA(cudaDeviceSynchronize());
    grad_sums_.read(sums.grads.data());
    weight_sums_.read(sums.weights.data());
  }
  void pull(oracle::Model& host, Scalars& scalars) const {
    REQUIRE_CUDA(cudaDeviceSynchronize());
    weights_.read(host.weights);
    grads_.read(host.grads);
    moment_.read(host.moment);
    second_moment_.read(host.second_moment);
    max_second_moment_.read(host.max_second_moment);
    extra_.read(host.extra);
    stats_.read(host.stats.data());
    scalars_.read(&scalars);
  }

 private:
  class DeviceBuffer {
   public:
    explicit DeviceBuffer(const oracle::Buffer& host)
        : present_(host.present()), begin_(host.first_byte()), element_(host.present() ? host.element_size() : 0),
          bytes_(host.bytes().data(), host.bytes().size()) {}
    bool present() const { return present_; }
    void* data() const { return present_ ? bytes_.data() + begin_ : nullptr; }
    void* at(int64_t index) const { return bytes_.data() + begin_ + static_cast<size_t>(index) * element_; }
    void write(const oracle::Buffer& host) {
      if (present_) bytes_.write(host.bytes().data());
    }
    void read(oracle::Buffer& host) const {
      if (present_) bytes_.read(host.bytes().data());
    }
    DeviceBytes table;  // scattered: one pointer a layer

   private:
    bool present_;
    size_t begin_, element_;
    DeviceBytes bytes_;
  };

  void* of(DeviceBuffer& buffer) const {
    if (!buffer.present() || !layout_.scattered) return buffer.data();
    if (!buffer.table.data()) {
      std::vector<void*> pointers(1);  // a table of no layers has an address too
      const auto begins = layout_.begins();
      pointers.resize(std::max<size_t>(1, begins.size()));
      for (size_t l = 0; l < begins.size(); ++l) {
        const bool left_out = layout_.mask_by_null && !layout_.mask.empty() && layout_.mask[l] == 0;
        pointers[l] = left_out ? nullptr : buffer.at(begins[l]);
      }
      buffer.table = DeviceBytes(pointers.data(), pointers.size() * sizeof(void*));
    }
    return buffer.table.data();
  }
  const uint8_t* mask() const {
    const bool by_mask = !layout_.mask.empty() && !(layout_.scattered && layout_.mask_by_null);
    return by_mask ? reinterpret_cast<const uint8_t*>(mask_.data()) : nullptr;
  }
  double* stats() const { return reinterpret_cast<double*>(stats_.data()); }
  double* grad_sums() const { return reinterpret_cast<double*>(grad_sums_.data()); }
  double* weight_sums() const { return reinterpret_cast<double*>(weight_sums_.data()); }

  const oracle::Layout layout_;
  DeviceBuffer weights_, grads_, moment_, second_moment_, max_second_moment_, extra_;
  DeviceBytes stats_, mask_, scalars_, grad_sums_, weight_sums_;
  oracle::PlanHandle plan_;
};

}  // namespace cross
