// The steps as XLA FFI handlers. Every leaf of a parameter tree is a layer of a scattered plan; XLA donates or copies
// what a step changes, so that it is changed in place.
//
// Operands, in order, L leaves each where a list; * is changed in place and comes back as a result:
//   novograd_step  numbers, completed, second_moment*, [max_second_moment*], weights*..., grads..., first_moment*...
//   larc_scale     numbers, weights..., grads*...
//   larc_sgd_step  numbers, completed, weights*..., grads..., [momentum*...]
//   numbers    float32 [3]: lr, grad_scale, found_inf
//   completed  int32 [2]: the completed steps, an int64 in two halves, low half first
// Attributes: the options as the bytes of layerwise.h's structs, without pointers, and the layers' own options.
#include <dlfcn.h>
#include <layerwise.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "plans.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using layerwise_jax::BorrowedPlan;
using layerwise_jax::check;
using layerwise_jax::Layout;

namespace {

int32_t dtype_of(ffi::AnyBuffer buffer) {
  switch (buffer.element_type()) {
    case ffi::F32:
      return LAYERWISE_DTYPE_FLOAT32;
    case ffi::BF16:
      return LAYERWISE_DTYPE_BFLOAT16;
    case ffi::F16:
      return LAYERWISE_DTYPE_FLOAT16;
    case ffi::F64:
      return LAYERWISE_DTYPE_FLOAT64;
    default:
      throw std::invalid_argument("a buffer is neither float32, bfloat16, float16 nor float64");
  }
}

// ---- Where a call runs ----------------------------------------------------------------------------------------------

struct Place {
  int32_t device = LAYERWISE_DEVICE_CPU;
  void* stream = nullptr;
  ffi::ScratchAllocator* scratch = nullptr;  // of the device
};

// The driver that XLA has loaded; this file needs neither its headers nor its library to be built.
void copy_to_device(void* device, const void* host, size_t bytes, void* stream) {
  using Copy = int (*)(unsigned long long, const void*, size_t, void*);
  static const Copy copy = [] {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    return driver ? reinterpret_cast<Copy>(dlsym(driver, "cuMemcpyHtoDAsync_v2")) : nullptr;
  }();
  if (!copy) throw std::runtime_error("libcuda.so.1 has no cuMemcpyHtoDAsync_v2");
  // From pageable memory: the driver has taken its copy when it returns.
  if (const int code = copy(reinterpret_cast<unsigned long long>(device), host, bytes, stream))
    throw std::runtime_error("copying the layers' addresses to the device: CUDA driver error " + std::to_string(code));
}

// ---- Operands -------------------------------------------------------------------------------------------------------

class Operands {
 public:
  Operands(ffi::RemainingArgs arguments, ffi::RemainingRets results) : arguments_(arguments), results_(results) {}

  ffi::AnyBuffer read() {
    auto buffer = arguments_.get<ffi::AnyBuffer>(argument_++);
    if (buffer.has_error()) throw std::invalid_argument("an operand is missing");
    return *buffer;
  }

  ffi::AnyBuffer change() {
    const ffi::AnyBuffer buffer = read();
    auto result = results_.get<ffi::AnyBuffer>(result_++);
    if (result.has_error()) throw std::invalid_argument("a result is missing");
    if ((*result)->untyped_data() != buffer.untyped_data() && buffer.element_count() != 0)
      throw std::runtime_error("XLA gave a result memory of its own, which input_output_aliases rules out");
    return buffer;
  }

  // One buffer a layer; appended to the tables that the plan will read.
  std::vector<ffi::AnyBuffer> list(size_t layers, bool changed) {
    std::vector<ffi::AnyBuffer> buffers;
    for (size_t layer = 0; layer < layers; ++layer) {
      buffers.push_back(changed ? change() : read());
      tables_.push_back(buffers.back().untyped_data());
    }
    return buffers;
  }

  // The tables where the plan reads them; each is as long as the list it was made of.
  void** tables(Place& place) {
    if (place.device == LAYERWISE_DEVICE_CPU) return tables_.data();
    const size_t bytes = tables_.size() * sizeof(void*);
    std::optional<void*> memory = place.scratch->Allocate(bytes, alignof(void*));
    if (!memory || !*memory) throw std::runtime_error("no device memory for the table of layers");
    copy_to_device(*memory, tables_.data(), bytes, place.stream);
    return static_cast<void**>(*memory);
  }

 private:
  ffi::RemainingArgs arguments_;
  ffi::RemainingRets results_;
  size_t argument_ = 0, result_ = 0;
  std::vector<void*> tables_;
};

using Bytes = ffi::Span<const uint8_t>;
using Numbers = ffi::Span<const double>;

struct Attributes {
  Bytes options, sgd, skip_larc;
  Numbers lr_mult, wd_mult;
};

template <typename Options>
Options options_from(Bytes bytes) {
  Options options;
  if (bytes.size() != sizeof options)
    throw std::invalid_argument("the options have " + std::to_string(bytes.size()) + " bytes, not " +
                                std::to_string(sizeof options) + ": the handlers were built for another version");
  std::memcpy(&options, bytes.begin(), sizeof options);
  return options;
}

template <typename Options>
Options options_from(Bytes bytes, ffi::AnyBuffer numbers) {
  Options options = options_from<Options>(bytes);
  const float* const values = static_cast<const float*>(numbers.untyped_data());
  options.lr_ptr = values;
  options.grad_scale_ptr = values + 1;
  options.found_inf = values + 2;
  return options;
}

Layout layout_of(const Place& place, const Attributes& attributes, const std::vector<ffi::AnyBuffer>& weights,
                 const std::vector<ffi::AnyBuffer>& grads, const std::vector<ffi::AnyBuffer>& first_moment) {
  Layout layout;
  layout.device = place.device;
  layout.stream = place.stream;
  layout.weights = dtype_of(weights.at(0));
  layout.grads = dtype_of(grads.at(0));
  if (!first_moment.empty()) layout.first_moment = dtype_of(first_moment[0]);
  for (ffi::AnyBuffer buffer : weights) layout.sizes.push_back(static_cast<int64_t>(buffer.element_count()));
  layout.lr_mult.assign(attributes.lr_mult.begin(), attributes.lr_mult.end());
  layout.wd_mult.assign(attributes.wd_mult.begin(), attributes.wd_mult.end());
  layout.skip_larc.assign(attributes.skip_larc.begin(), attributes.skip_larc.end());
  return layout;
}

// ---- The steps ------------------------------------------------------------------------------------------------------

void novograd(Place place, Operands operands, const Attributes& attributes) {
  const size_t layers = attributes.lr_mult.size();
  auto options = options_from<layerwise_novograd_options>(attributes.options, operands.read());
  options.step_ptr = static_cast<int64_t*>(operands.read().untyped_data());
  const ffi::AnyBuffer second_moment = operands.change();
  void* const maximum = options.amsgrad ? operands.change().untyped_data() : nullptr;
  const auto weights = operands.list(layers, true), grads = operands.list(layers, false),
             first_moment = operands.list(layers, true);
  Layout layout = layout_of(place, attributes, weights, grads, first_moment);
  layout.second_moment = dtype_of(second_moment);
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  check(novograd_step(plan.get(), tables, tables + layers, tables + 2 * layers, second_moment.untyped_data(), maximum,
                      nullptr, nullptr, nullptr, &options, place.stream));
}

void scale(Place place, Operands operands, const Attributes& attributes) {
  const size_t layers = attributes.lr_mult.size();
  const auto options = options_from<layerwise_larc_options>(attributes.options, operands.read());
  const auto weights = operands.list(layers, false), grads = operands.list(layers, true);
  const Layout layout = layout_of(place, attributes, weights, grads, {});
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  check(larc_scale(plan.get(), tables, tables + layers, nullptr, nullptr, &options, place.stream));
}

void larc_sgd(Place place, Operands operands, const Attributes& attributes) {
  const size_t layers = attributes.lr_mult.size();
  const auto larc = options_from<layerwise_larc_options>(attributes.options, operands.read());
  auto sgd = options_from<layerwise_sgd_options>(attributes.sgd);
  sgd.step_ptr = static_cast<int64_t*>(operands.read().untyped_data());
  const bool has_momentum = sgd.momentum != 0;
  const auto weights = operands.list(layers, true), grads = operands.list(layers, false),
             momentum = operands.list(has_momentum ? layers : 0, true);
  const Layout layout = layout_of(place, attributes, weights, grads, momentum);
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  check(larc_sgd_step(plan.get(), tables, tables + layers, has_momentum ? tables + 2 * layers : nullptr, nullptr,
                      nullptr, nullptr, &larc, &sgd, place.stream));
}

// ---- Handlers -------------------------------------------------------------------------------------------------------

using Step = void (*)(Place, Operands, const Attributes&);

template <Step step>
ffi::Error run(Place place, const Attributes& attributes, ffi::RemainingArgs arguments, ffi::RemainingRets results) {
  try {
    step(place, Operands(arguments, results), attributes);
    return ffi::Error::Success();
  } catch (const std::exception& problem) {
    return ffi::Error::InvalidArgument(std::string("layerwise: ") + problem.what());
  }
}

template <Step step>
ffi::Error on_cpu(Bytes options, Bytes sgd, Numbers lr_mult, Numbers wd_mult, Bytes skip_larc,
                  ffi::RemainingArgs arguments, ffi::RemainingRets results) {
  return run<step>({}, {options, sgd, skip_larc, lr_mult, wd_mult}, arguments, results);
}

template <Step step>
ffi::Error on_cuda(int32_t device, void* stream, ffi::ScratchAllocator scratch, Bytes options, Bytes sgd,
                   Numbers lr_mult, Numbers wd_mult, Bytes skip_larc, ffi::RemainingArgs arguments,
                   ffi::RemainingRets results) {
  return run<step>({device, stream, &scratch}, {options, sgd, skip_larc, lr_mult, wd_mult}, arguments, results);
}

auto operands(auto binding) {
  return std::move(binding)
      .template Attr<Bytes>("options")
      .template Attr<Bytes>("sgd")
      .template Attr<Numbers>("lr_mult")
      .template Attr<Numbers>("wd_mult")
      .template Attr<Bytes>("skip_larc")
      .RemainingArgs()
      .RemainingRets();
}

auto cuda_context() {
  return ffi::Ffi::Bind().Ctx<ffi::DeviceOrdinal>().Ctx<ffi::PlatformStream<void*>>().Ctx<ffi::ScratchAllocator>();
}

}  // namespace

#define LAYERWISE_HANDLERS(name, step)                                                 \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name##_cpu, on_cpu<step>, operands(ffi::Ffi::Bind())); \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name##_cuda, on_cuda<step>, operands(cuda_context()))

LAYERWISE_HANDLERS(layerwise_jax_novograd_step, novograd);
LAYERWISE_HANDLERS(layerwise_jax_larc_scale, scale);
LAYERWISE_HANDLERS(layerwise_jax_larc_sgd_step, larc_sgd);

// The FFI API that these handlers were built with, as major * 1000 + minor.
extern "C" int32_t layerwise_jax_ffi_api() { return XLA_FFI_API_MAJOR * 1000 + XLA_FFI_API_MINOR; }
