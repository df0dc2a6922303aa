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

// An operand in a message: made where there is one, since a step has three operands a layer.
struct Name {
  const char* what;
  int64_t layer = -1;
  std::string text() const { return layer < 0 ? what : std::string(what) + " of layer " + std::to_string(layer); }
};

class Operands {
 public:
  Operands(ffi::RemainingArgs arguments, ffi::RemainingRets results) : arguments_(arguments), results_(results) {}

  // The library cannot see where an operand ends: what it will read and write must be there.
  ffi::AnyBuffer read(Name what, int64_t count, int32_t dtype) {
    auto buffer = arguments_.get<ffi::AnyBuffer>(argument_++);
    if (buffer.has_error()) throw std::invalid_argument(what.text() + " is missing");
    const int64_t elements = static_cast<int64_t>(buffer->element_count());
    if (elements != count)
      throw std::invalid_argument(what.text() + " has " + std::to_string(elements) + " elements: it must have " +
                                  std::to_string(count));
    if (dtype != LAYERWISE_DTYPE_NONE && dtype_of(*buffer) != dtype)
      throw std::invalid_argument(what.text() + " has another dtype than the operands beside it");
    return *buffer;
  }

  ffi::AnyBuffer change(Name what, int64_t count, int32_t dtype) {
    const ffi::AnyBuffer buffer = read(what, count, dtype);
    auto result = results_.get<ffi::AnyBuffer>(result_++);
    if (result.has_error()) throw std::invalid_argument("a result is missing");
    if ((*result)->untyped_data() != buffer.untyped_data() && buffer.element_count() != 0)
      throw std::runtime_error("XLA gave a result memory of its own, which input_output_aliases rules out");
    return buffer;
  }

  // lr, grad_scale and found_inf.
  const float* numbers() {
    return static_cast<const float*>(read({"numbers"}, 3, LAYERWISE_DTYPE_FLOAT32).untyped_data());
  }

  int64_t* completed_steps() {
    auto halves = arguments_.get<ffi::AnyBuffer>(argument_++);
    if (halves.has_error() || halves->element_type() != ffi::S32 || halves->element_count() != 2)
      throw std::invalid_argument("the completed steps are not two int32");
    return static_cast<int64_t*>(halves->untyped_data());
  }

  // One buffer a layer, all of the dtype returned; appended to the plan's tables. sizes: filled where it is empty.
  int32_t list(const char* what, std::vector<int64_t>& sizes, size_t layers, bool changed) {
    const bool says_sizes = sizes.empty();
    int32_t dtype = LAYERWISE_DTYPE_NONE;
    for (size_t layer = 0; layer < layers; ++layer) {
      const Name name{what, static_cast<int64_t>(layer)};
      const int64_t count = says_sizes ? elements_of_next() : sizes.at(layer);
      const ffi::AnyBuffer buffer = changed ? change(name, count, dtype) : read(name, count, dtype);
      dtype = dtype_of(buffer);
      if (says_sizes) sizes.push_back(count);
      tables_.push_back(buffer.untyped_data());
    }
    return dtype;
  }

  void end() const {
    if (argument_ != arguments_.size() || result_ != results_.size())
      throw std::invalid_argument("the call has operands or results that its layers do not account for");
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
  int64_t elements_of_next() const {
    auto buffer = arguments_.get<ffi::AnyBuffer>(argument_);
    return buffer.has_error() ? 0 : static_cast<int64_t>(buffer->element_count());
  }

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
Options options_from(Bytes bytes, const float* values) {
  Options options = options_from<Options>(bytes);
  options.lr_ptr = values;
  options.grad_scale_ptr = values + 1;
  options.found_inf = values + 2;
  return options;
}

// What the layers have in common; the sizes and dtypes come with the operands.
Layout layout_of(const Place& place, const Attributes& attributes) {
  Layout layout;
  layout.device = place.device;
  layout.stream = place.stream;
  layout.lr_mult.assign(attributes.lr_mult.begin(), attributes.lr_mult.end());
  layout.wd_mult.assign(attributes.wd_mult.begin(), attributes.wd_mult.end());
  layout.skip_larc.assign(attributes.skip_larc.begin(), attributes.skip_larc.end());
  if (layout.lr_mult.empty() || layout.wd_mult.size() != layout.lr_mult.size() ||
      layout.skip_larc.size() != layout.lr_mult.size())
    throw std::invalid_argument("lr_mult, wd_mult and skip_larc must have one value for each of one or more layers");
  return layout;
}

// ---- The steps ------------------------------------------------------------------------------------------------------

void novograd(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  auto options = options_from<layerwise_novograd_options>(attributes.options, operands.numbers());
  options.step_ptr = operands.completed_steps();
  const int64_t values = static_cast<int64_t>(layers);
  const ffi::AnyBuffer second_moment = operands.change({"second_moment"}, values, LAYERWISE_DTYPE_NONE);
  layout.second_moment = dtype_of(second_moment);
  void* const maximum =
      options.amsgrad ? operands.change({"max_second_moment"}, values, layout.second_moment).untyped_data() : nullptr;
  layout.weights = operands.list("params", layout.sizes, layers, true);
  layout.grads = operands.list("grads", layout.sizes, layers, false);
  layout.first_moment = operands.list("first_moment", layout.sizes, layers, true);
  operands.end();
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  check(novograd_step(plan.get(), tables, tables + layers, tables + 2 * layers, second_moment.untyped_data(), maximum,
                      nullptr, nullptr, nullptr, &options, place.stream));
}

void scale(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  const auto options = options_from<layerwise_larc_options>(attributes.options, operands.numbers());
  layout.weights = operands.list("params", layout.sizes, layers, false);
  layout.grads = operands.list("grads", layout.sizes, layers, true);
  operands.end();
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  check(larc_scale(plan.get(), tables, tables + layers, nullptr, nullptr, &options, place.stream));
}

void larc_sgd(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  const auto larc = options_from<layerwise_larc_options>(attributes.options, operands.numbers());
  auto sgd = options_from<layerwise_sgd_options>(attributes.sgd);
  sgd.step_ptr = operands.completed_steps();
  const bool has_momentum = sgd.momentum != 0;
  layout.weights = operands.list("params", layout.sizes, layers, true);
  layout.grads = operands.list("grads", layout.sizes, layers, false);
  if (has_momentum) layout.first_moment = operands.list("momentum", layout.sizes, layers, true);
  operands.end();
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
