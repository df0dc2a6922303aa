// The steps as XLA FFI handlers. Every leaf of a parameter tree is a layer of a scattered plan; XLA donates or copies
// what a step changes, so that it is changed in place.
//
// Operands, in order, L leaves each where a list; * is changed in place and comes back as a result; [if there]:
//   novograd_step   numbers, completed, second_moment*, [max_second_moment*], weights*..., grads..., first_moment*...
//   larc_scale      numbers, weights..., grads*...
//   larc_sgd_step   numbers, completed, weights*..., grads..., [momentum*...]
//   *_apply         the second half of each: as the step, with the sums after numbers and completed: grad_sums, for
//                   larc grad_sums, weight_sums
//   novograd_norms  counted, weights..., grads...; results: grad_sums
//   larc_norms      counted, weights..., grads...; results: grad_sums, weight_sums
//   numbers    float32 [3 + H]: lr, grad_scale, found_inf, and the hyper-parameters that the attribute traced names
//   completed  int32 [2]: the completed steps, an int64 in two halves, low half first
//   sums       float64 [L], of all pieces of each layer
//   counted    uint8 [L], 0: another device counts this piece; its sum is 0
// Attributes: the options as the bytes of layerwise.h's structs, without pointers; traced, where in them each of the H
// hyper-parameters belongs, in bytes from the start of options, then of sgd; and the layers' own options.
#include <layerwise.h>

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "operands.h"
#include "plans.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using layerwise_jax::BorrowedPlan;
using layerwise_jax::check;
using layerwise_jax::dtype_of;
using layerwise_jax::Layout;
using layerwise_jax::Operands;
using layerwise_jax::Place;

namespace {

using Bytes = ffi::Span<const uint8_t>;
using Numbers = ffi::Span<const double>;
using Offsets = ffi::Span<const int64_t>;

struct Attributes {
  Bytes options, sgd;
  Offsets traced;  // -1 first: an attribute cannot be empty
  Bytes skip_larc;
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

// A step's options, its hyper-parameters in their places.
template <typename Options>
struct Given {
  Options options;
  layerwise_sgd_options sgd;  // of larc_sgd alone
};

template <typename Options>
Given<Options> given(const Place& place, Operands& operands, const Attributes& attributes, bool with_sgd = false) {
  Given<Options> given{options_from<Options>(attributes.options), {}};
  if (with_sgd) given.sgd = options_from<layerwise_sgd_options>(attributes.sgd);
  if (attributes.traced.size() == 0) throw std::invalid_argument("traced is empty: it must begin with -1");
  const size_t count = attributes.traced.size() - 1;
  const float* const numbers = operands.numbers(count);
  given.options.lr_ptr = numbers;
  given.options.grad_scale_ptr = numbers + 1;
  given.options.found_inf = numbers + 2;
  std::vector<float> values(count);
  if (count != 0 && place.device != LAYERWISE_DEVICE_CPU)
    layerwise_jax::copy_from_device(values.data(), numbers + 3, count * sizeof(float), place.stream);
  else if (count != 0)
    std::memcpy(values.data(), numbers + 3, count * sizeof(float));
  for (size_t at = 0; at < count; ++at) {
    const int64_t offset = attributes.traced[at + 1], in_sgd = offset - static_cast<int64_t>(sizeof(Options));
    const double value = values[at];
    const bool fits = in_sgd < 0 ? offset >= 0 && offset <= static_cast<int64_t>(sizeof(Options) - sizeof value)
                                 : with_sgd && in_sgd <= static_cast<int64_t>(sizeof given.sgd - sizeof value);
    if (!fits) throw std::invalid_argument("a hyper-parameter has no place in the options");
    std::memcpy(
        in_sgd < 0 ? reinterpret_cast<char*>(&given.options) + offset : reinterpret_cast<char*>(&given.sgd) + in_sgd,
        &value, sizeof value);
  }
  return given;
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

enum class Half { none, second };  // the whole step, or what is left of it once the sums are there

template <Half half>
void novograd(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  auto options = given<layerwise_novograd_options>(place, operands, attributes).options;
  options.step_ptr = operands.completed_steps();
  const double* const grad_sums = half == Half::second ? operands.sums("grad_sums", layers) : nullptr;
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
  if (half == Half::second)
    check(layerwise_novograd_apply(plan.get(), tables, tables + layers, tables + 2 * layers,
                                   second_moment.untyped_data(), maximum, nullptr, nullptr, nullptr, grad_sums,
                                   LAYERWISE_SUMS_LAYERS, &options, place.stream));
  else
    check(novograd_step(plan.get(), tables, tables + layers, tables + 2 * layers, second_moment.untyped_data(), maximum,
                        nullptr, nullptr, nullptr, &options, place.stream));
}

template <Half half>
void scale(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  const auto options = given<layerwise_larc_options>(place, operands, attributes).options;
  const double* const grad_sums = half == Half::second ? operands.sums("grad_sums", layers) : nullptr;
  const double* const weight_sums = half == Half::second ? operands.sums("weight_sums", layers) : nullptr;
  layout.weights = operands.list("params", layout.sizes, layers, false);
  layout.grads = operands.list("grads", layout.sizes, layers, true);
  operands.end();
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  if (half == Half::second)
    check(layerwise_larc_apply(plan.get(), tables, tables + layers, nullptr, nullptr, nullptr, nullptr, grad_sums,
                               weight_sums, LAYERWISE_SUMS_LAYERS, &options, nullptr, place.stream));
  else
    check(larc_scale(plan.get(), tables, tables + layers, nullptr, nullptr, &options, place.stream));
}

template <Half half>
void larc_sgd(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  auto [larc, sgd] = given<layerwise_larc_options>(place, operands, attributes, true);
  sgd.step_ptr = operands.completed_steps();
  const double* const grad_sums = half == Half::second ? operands.sums("grad_sums", layers) : nullptr;
  const double* const weight_sums = half == Half::second ? operands.sums("weight_sums", layers) : nullptr;
  layout.weights = operands.list("params", layout.sizes, layers, true);
  layout.grads = operands.list("grads", layout.sizes, layers, false);
  // The library keeps no buffer at 0; one that is 0 for now must hold this step's h, as at what rounds to 0 in float32.
  const bool has_momentum = options_from<layerwise_sgd_options>(attributes.sgd).momentum != 0;
  if (has_momentum && sgd.momentum == 0) sgd.momentum = std::numeric_limits<double>::min();
  if (has_momentum) layout.first_moment = operands.list("momentum", layout.sizes, layers, true);
  operands.end();
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  void* const momentum = has_momentum ? tables + 2 * layers : nullptr;
  if (half == Half::second)
    check(layerwise_larc_apply(plan.get(), tables, tables + layers, momentum, nullptr, nullptr, nullptr, grad_sums,
                               weight_sums, LAYERWISE_SUMS_LAYERS, &larc, &sgd, place.stream));
  else
    check(larc_sgd_step(plan.get(), tables, tables + layers, momentum, nullptr, nullptr, nullptr, &larc, &sgd,
                        place.stream));
}

// The first half: what this device's pieces of the layers add to their sums.
template <bool with_weights>
void norms(Place place, Operands operands, const Attributes& attributes) {
  Layout layout = layout_of(place, attributes);
  const size_t layers = layout.lr_mult.size();
  const int32_t norm =
      with_weights ? LAYERWISE_NORM_L2 : options_from<layerwise_novograd_options>(attributes.options).norm;
  const uint8_t* const counted = operands.counted(layers);
  layout.weights = operands.list("params", layout.sizes, layers, false);
  layout.grads = operands.list("grads", layout.sizes, layers, false);
  double* const grad_sums = operands.new_sums(layers);
  double* const weight_sums = with_weights ? operands.new_sums(layers) : nullptr;
  operands.end();
  const BorrowedPlan plan(layout);
  void** const tables = operands.tables(place);
  check(layerwise_partial_norms(plan.get(), tables, nullptr, tables + layers, counted, grad_sums, weight_sums,
                                LAYERWISE_SUMS_LAYERS, norm, place.stream));
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
ffi::Error on_cpu(Bytes options, Bytes sgd, Offsets traced, Numbers lr_mult, Numbers wd_mult, Bytes skip_larc,
                  ffi::RemainingArgs arguments, ffi::RemainingRets results) {
  return run<step>({}, {options, sgd, traced, skip_larc, lr_mult, wd_mult}, arguments, results);
}

template <Step step>
ffi::Error on_cuda(int32_t device, void* stream, ffi::ScratchAllocator scratch, Bytes options, Bytes sgd,
                   Offsets traced, Numbers lr_mult, Numbers wd_mult, Bytes skip_larc, ffi::RemainingArgs arguments,
                   ffi::RemainingRets results) {
  return run<step>({device, stream, &scratch}, {options, sgd, traced, skip_larc, lr_mult, wd_mult}, arguments, results);
}

auto operands(auto binding) {
  return std::move(binding)
      .template Attr<Bytes>("options")
      .template Attr<Bytes>("sgd")
      .template Attr<Offsets>("traced")
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

LAYERWISE_HANDLERS(layerwise_jax_novograd_step, novograd<Half::none>);
LAYERWISE_HANDLERS(layerwise_jax_novograd_norms, norms<false>);
LAYERWISE_HANDLERS(layerwise_jax_novograd_apply, novograd<Half::second>);
LAYERWISE_HANDLERS(layerwise_jax_larc_norms, norms<true>);
LAYERWISE_HANDLERS(layerwise_jax_larc_scale, scale<Half::none>);
LAYERWISE_HANDLERS(layerwise_jax_larc_scale_apply, scale<Half::second>);
LAYERWISE_HANDLERS(layerwise_jax_larc_sgd_step, larc_sgd<Half::none>);
LAYERWISE_HANDLERS(layerwise_jax_larc_sgd_apply, larc_sgd<Half::second>);

// The FFI API that these handlers were built with, as major * 1000 + minor.
extern "C" int32_t layerwise_jax_ffi_api() { return XLA_FFI_API_MAJOR * 1000 + XLA_FFI_API_MINOR; }
