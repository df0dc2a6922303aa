// Structs of the ABI, plans and per-layer options.
#include "validate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "error.h"

namespace layerwise {
namespace {

constexpr double kNoDefault = std::numeric_limits<double>::quiet_NaN();

layerwise_plan_options defaults(const layerwise_plan_options*) {
  layerwise_plan_options options{};
  options.device = LAYERWISE_DEVICE_CPU;
  options.weights_dtype = options.grads_dtype = LAYERWISE_DTYPE_FLOAT32;
  options.first_moment_dtype = options.second_moment_dtype = LAYERWISE_DTYPE_FLOAT32;
  return options;
}

layerwise_layer_options defaults(const layerwise_layer_options*) { return {}; }
layerwise_shard_options defaults(const layerwise_shard_options*) { return {}; }

layerwise_novograd_options defaults(const layerwise_novograd_options*) {
  layerwise_novograd_options options{};
  options.lr = kNoDefault;
  options.beta1 = 0.95;
  options.beta2 = 0.98;
  options.eps = 1e-8;
  options.weight_decay = 0.001;
  options.grad_scale = 1;
  options.average_first_step = 1;
  options.seed_second_moment = LAYERWISE_SEED_WHILE_ZERO;
  return options;
}

layerwise_larc_options defaults(const layerwise_larc_options*) {
  layerwise_larc_options options{};
  options.lr = kNoDefault;
  options.eta = 0.002;
  options.eps = 1e-8;
  options.grad_scale = 1;
  return options;
}

layerwise_sgd_options defaults(const layerwise_sgd_options*) {
  layerwise_sgd_options options{};
  options.momentum = 0.9;
  return options;
}

// The sizes in the first header of this ABI, which no caller's struct is below. Members are added at the end, so an older
// caller's struct is the beginning of a newer one; what it lacks is at its default.
template <class Options>
constexpr int64_t kFirstSize = 0;
template <>
constexpr int64_t kFirstSize<layerwise_plan_options> = 104;
template <>
constexpr int64_t kFirstSize<layerwise_layer_options> = 48;
template <>
constexpr int64_t kFirstSize<layerwise_shard_options> = 64;
template <>
constexpr int64_t kFirstSize<layerwise_novograd_options> = 184;
template <>
constexpr int64_t kFirstSize<layerwise_larc_options> = 136;
template <>
constexpr int64_t kFirstSize<layerwise_sgd_options> = 64;

// Larger than any struct this ABI will have: tells a newer caller's struct from a wild number.
constexpr int64_t kLargestStruct = 4096;

template <class Options>
void check_struct_size(int64_t size, const char* name) {
  constexpr int64_t least = kFirstSize<Options>;
  static_assert(0 < least && least <= int64_t{sizeof(Options)});
  if (size < least || size > kLargestStruct)
    fail(LAYERWISE_ERROR_STRUCT_SIZE, "%s: struct_size is %lld; it must lie in [%lld, %lld]", name,
         static_cast<long long>(size), static_cast<long long>(least), static_cast<long long>(kLargestStruct));
}

Dtype checked_dtype(int32_t dtype, const char* name, std::initializer_list<Dtype> allowed) {
  bool known = dtype == LAYERWISE_DTYPE_NONE;
#define LAYERWISE_KNOWN(enumerator, type, number, text) known = known || dtype == number;
  LAYERWISE_DTYPES(LAYERWISE_KNOWN)
#undef LAYERWISE_KNOWN
  if (!known) fail(LAYERWISE_ERROR_UNKNOWN_DTYPE, "%s is %d; it must be a LAYERWISE_DTYPE_ constant", name, dtype);
  if (std::find(allowed.begin(), allowed.end(), static_cast<Dtype>(dtype)) != allowed.end())
    return static_cast<Dtype>(dtype);
  std::string names;
  for (Dtype choice : allowed) names += std::string(names.empty() ? "" : ", ") + name_of(choice);
  fail(LAYERWISE_ERROR_UNSUPPORTED_DTYPE, "%s is %s; it must be one of %s", name, name_of(static_cast<Dtype>(dtype)),
       names.c_str());
}

Dtypes checked_dtypes(const layerwise_plan_options& options) {
  Dtypes dtypes;
  const auto elements = {Dtype::kFloat32, Dtype::kBfloat16, Dtype::kFloat16};
  dtypes.weights = checked_dtype(options.weights_dtype, "weights_dtype", elements);
  dtypes.grads = checked_dtype(options.grads_dtype, "grads_dtype", elements);
  dtypes.first_moment =
      checked_dtype(options.first_moment_dtype, "first_moment_dtype", {Dtype::kFloat32, Dtype::kBfloat16});
  dtypes.second_moment =
      checked_dtype(options.second_moment_dtype, "second_moment_dtype", {Dtype::kFloat32, Dtype::kFloat64});
  dtypes.weights_extra = checked_dtype(options.weights_extra_dtype, "weights_extra_dtype",
                                       {Dtype::kNone, Dtype::kBfloat16, Dtype::kFloat16, Dtype::kRemainder16});
  if (dtypes.weights_extra == Dtype::kRemainder16) {
    if (dtypes.weights != Dtype::kBfloat16)
      fail(LAYERWISE_ERROR_UNSUPPORTED_DTYPE,
           "weights_extra_dtype is remainder16 beside %s weights; it needs bfloat16 weights", name_of(dtypes.weights));
  } else if (dtypes.weights_extra != Dtype::kNone && dtypes.weights != Dtype::kFloat32)
    fail(LAYERWISE_ERROR_UNSUPPORTED_DTYPE, "weights_extra_dtype is %s beside %s weights; the copy needs float32 weights",
         name_of(dtypes.weights_extra), name_of(dtypes.weights));
  return dtypes;
}

void check_overlap(const std::vector<LayerExtent>& layers) {
  std::vector<int64_t> order(layers.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int64_t layer) { return layers[layer].size == 0; });
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return layers[a].offset < layers[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const LayerExtent &before = layers[order[i - 1]], &after = layers[order[i]];
    if (before.offset + before.size > after.offset)
      fail(LAYERWISE_ERROR_LAYER_OVERLAP, "layer %lld begins at element %lld, inside layer %lld (elements %lld to %lld)",
           static_cast<long long>(order[i]), static_cast<long long>(after.offset),
           static_cast<long long>(order[i - 1]), static_cast<long long>(before.offset),
           static_cast<long long>(before.offset + before.size));
  }
}

Layout checked_layout(const layerwise_plan_options& options) {
  // The largest element is 8 bytes, and a byte offset must fit an int64.
  constexpr int64_t kMostElements = std::numeric_limits<int64_t>::max() / 8;
  constexpr int64_t kMostLayers = std::numeric_limits<int32_t>::max();
  Layout layout;
  layout.scattered = options.layout == LAYERWISE_LAYOUT_SCATTERED;
  if (options.layer_count < 0)
    fail(LAYERWISE_ERROR_LAYER_RANGE, "layer_count is %lld; it must not be negative",
         static_cast<long long>(options.layer_count));
  if (options.layer_count > kMostLayers)
    fail(LAYERWISE_ERROR_LAYER_OVERFLOW, "layer_count is %lld; it must not exceed %lld",
         static_cast<long long>(options.layer_count), static_cast<long long>(kMostLayers));
  if (options.layer_count > 0) check_not_null(options.sizes, "sizes");
  layout.layers.reserve(options.layer_count);
  for (int64_t l = 0; l < options.layer_count; ++l) {
    const int64_t size = options.sizes[l];
    const int64_t offset = options.offsets ? options.offsets[l] : layout.scattered ? 0 : layout.elements;
    if (size < 0 || offset < 0)
      fail(LAYERWISE_ERROR_LAYER_RANGE, "%s[%lld] is %lld; it must not be negative", size < 0 ? "sizes" : "offsets",
           static_cast<long long>(l), static_cast<long long>(size < 0 ? size : offset));
    if (offset > kMostElements - size || layout.elements > kMostElements - size)
      fail(LAYERWISE_ERROR_LAYER_OVERFLOW, "layer %lld has offset %lld and size %lld; the elements before its end must not exceed %lld",
           static_cast<long long>(l), static_cast<long long>(offset), static_cast<long long>(size),
           static_cast<long long>(kMostElements));
    layout.layers.push_back({offset, size, layout.tiles});
    layout.elements += size;
    layout.tiles += tiles_of(size);
    layout.extent = std::max(layout.extent, offset + size);
  }
  if (!layout.scattered) check_overlap(layout.layers);
  return layout;
}

double checked_multiplier(const double* values, int64_t layer, const char* name) {
  if (!values) return 1;
  if (!std::isfinite(values[layer]) || values[layer] < 0)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "%s[%lld] is %g; it must be finite and not negative", name,
         static_cast<long long>(layer), values[layer]);
  return values[layer];
}

}  // namespace

void check_not_null(const void* argument, const char* name) {
  if (!argument) fail(LAYERWISE_ERROR_NULL_ARGUMENT, "%s is NULL; it must not be", name);
}

void check_selector(int64_t value, const char* name, int64_t least, int64_t most) {
  if (value < least || value > most)
    fail(LAYERWISE_ERROR_UNKNOWN_FLAG, "%s is %lld; it must lie in [%lld, %lld]", name, static_cast<long long>(value),
         static_cast<long long>(least), static_cast<long long>(most));
}

layerwise_plan& checked(layerwise_plan* plan) {
  checked(static_cast<const layerwise_plan*>(plan));
  return *plan;
}

const layerwise_plan& checked(const layerwise_plan* plan) {
  check_not_null(plan, "plan");
  if (!LivePlans::contains(plan))
    fail(LAYERWISE_ERROR_INVALID_PLAN, "plan is %p; it must be a plan that was created and not yet destroyed",
         static_cast<const void*>(plan));
  if (plan->description.device != LAYERWISE_DEVICE_CPU && plan->process != forks())
    fail(LAYERWISE_ERROR_INVALID_PLAN,
         "plan runs on CUDA and was created before this process was forked; CUDA does not work in a forked process: it "
         "must be started anew, and create a plan of its own");
  return *plan;
}

template <class Options>
void fill_defaults(Options* options, int64_t struct_size) {
  check_not_null(options, "options");
  check_struct_size<Options>(struct_size, "options");
  Options filled = defaults(options);
  filled.struct_size = struct_size;
  std::memset(static_cast<void*>(options), 0, struct_size);
  std::memcpy(static_cast<void*>(options), &filled, std::min<int64_t>(struct_size, sizeof filled));
}

template <class Options>
Options received(const Options* options, const char* name) {
  check_not_null(options, name);
  const int64_t size = options->struct_size;
  check_struct_size<Options>(size, name);
  const auto* bytes = reinterpret_cast<const unsigned char*>(options);
  for (int64_t i = sizeof(Options); i < size; ++i)
    if (bytes[i])
      fail(LAYERWISE_ERROR_STRUCT_SIZE, "%s: byte %lld of the struct is set; this library knows only %lld bytes of it",
           name, static_cast<long long>(i), static_cast<long long>(sizeof(Options)));
  Options whole = defaults(options);
  std::memcpy(static_cast<void*>(&whole), options, std::min<int64_t>(size, sizeof whole));
  return whole;
}

template void fill_defaults(layerwise_plan_options*, int64_t);
template void fill_defaults(layerwise_layer_options*, int64_t);
template void fill_defaults(layerwise_shard_options*, int64_t);
template void fill_defaults(layerwise_novograd_options*, int64_t);
template void fill_defaults(layerwise_larc_options*, int64_t);
template void fill_defaults(layerwise_sgd_options*, int64_t);
template layerwise_plan_options received(const layerwise_plan_options*, const char*);
template layerwise_layer_options received(const layerwise_layer_options*, const char*);
template layerwise_shard_options received(const layerwise_shard_options*, const char*);
template layerwise_novograd_options received(const layerwise_novograd_options*, const char*);
template layerwise_larc_options received(const layerwise_larc_options*, const char*);
template layerwise_sgd_options received(const layerwise_sgd_options*, const char*);

PlanDescription checked_plan(const layerwise_plan_options* given) {
  const layerwise_plan_options options = received(given, "options");
  if (options.device < LAYERWISE_DEVICE_CPU)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "device is %d; it must be LAYERWISE_DEVICE_CPU (-1) or a CUDA ordinal",
         options.device);
  check_selector(options.layout, "layout", LAYERWISE_LAYOUT_PACKED, LAYERWISE_LAYOUT_SCATTERED);
  check_selector(options.isa, "isa", LAYERWISE_ISA_AUTO, LAYERWISE_ISA_NEON);
  check_selector(options.path, "path", 0, LAYERWISE_PATH_ONE_PASS);
  if (options.path != 0 && options.device == LAYERWISE_DEVICE_CPU)
    fail(LAYERWISE_ERROR_COMBINATION, "path is %d beside device LAYERWISE_DEVICE_CPU; it must be 0, only CUDA plans have a choice",
         options.path);
  if (options.multiprocessors < 0 || (options.multiprocessors > 0 && options.device == LAYERWISE_DEVICE_CPU))
    fail(LAYERWISE_ERROR_INVALID_VALUE, "multiprocessors is %lld; it must not be negative, and 0 for a CPU plan",
         static_cast<long long>(options.multiprocessors));
  constexpr int64_t kExperimental = LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH | LAYERWISE_EXPERIMENTAL_BULK_COPY;
  if (options.experimental & ~kExperimental)
    fail(LAYERWISE_ERROR_UNKNOWN_FLAG, "experimental is %lld; it must be a sum of LAYERWISE_EXPERIMENTAL_ flags, of %lld",
         static_cast<long long>(options.experimental), static_cast<long long>(kExperimental));
  if (options.experimental != 0 && options.device == LAYERWISE_DEVICE_CPU)
    fail(LAYERWISE_ERROR_COMBINATION,
         "experimental is %lld beside device LAYERWISE_DEVICE_CPU; it must be 0, only CUDA plans have a choice",
         static_cast<long long>(options.experimental));
  constexpr int32_t kMostThreads = 4096;
  if (options.threads < 0 || options.threads > kMostThreads)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "threads is %d; it must lie in [0, %d]", options.threads, kMostThreads);
  if (options.workspace_bytes < 0 || (!options.workspace && options.workspace_bytes != 0))
    fail(LAYERWISE_ERROR_INVALID_VALUE, "workspace_bytes is %lld; it must not be negative, and 0 without a workspace",
         static_cast<long long>(options.workspace_bytes));
  PlanDescription plan;
  plan.dtypes = checked_dtypes(options);
  plan.layout = checked_layout(options);
  plan.whole_elements = plan.layout.elements;
  plan.device = options.device;
  plan.threads = options.threads;
  plan.isa = options.isa;
  plan.path = options.path;
  plan.multiprocessors = options.multiprocessors;
  plan.experimental = options.experimental;
  plan.workspace = options.workspace;
  plan.workspace_bytes = options.workspace_bytes;
  return plan;
}

std::vector<LayerPiece> checked_shard(const layerwise_plan& plan, const layerwise_shard_options* given) {
  const layerwise_shard_options options = received(given, "options");
  for (int64_t reserved : options.reserved) check_selector(reserved, "reserved", 0, 0);
  const std::vector<LayerExtent>& layers = plan.description.layout.layers;
  if (!layers.empty()) check_not_null(options.layer_sizes, "layer_sizes");
  constexpr int64_t kMostElements = std::numeric_limits<int64_t>::max() / 8;
  std::vector<LayerPiece> pieces;
  pieces.reserve(layers.size());
  int64_t before = 0;
  for (size_t l = 0; l < layers.size(); ++l) {
    const auto layer = static_cast<long long>(l), size = static_cast<long long>(layers[l].size);
    const int64_t whole = options.layer_sizes[l], begin = options.layer_begins ? options.layer_begins[l] : -1;
    if (whole < size || whole > kMostElements - before)
      fail(LAYERWISE_ERROR_LAYER_RANGE,
           "layer_sizes[%lld] is %lld; the whole layer must have at least the plan's %lld, and all layers at most %lld "
           "elements",
           layer, static_cast<long long>(whole), size, static_cast<long long>(kMostElements));
    if (begin < -1 || (size > 0 && begin > whole - size))
      fail(LAYERWISE_ERROR_LAYER_RANGE,
           "layer_begins[%lld] is %lld; a piece of %lld must lie in the %lld elements of its layer, or be -1", layer,
           static_cast<long long>(begin), size, static_cast<long long>(whole));
    if (options.counted && options.counted[l] > 1)
      fail(LAYERWISE_ERROR_UNKNOWN_FLAG, "counted[%lld] is %d; it must be 0 or 1", layer, options.counted[l]);
    pieces.push_back({whole, begin, !options.counted || options.counted[l] != 0});
    before += whole;
  }
  return pieces;
}

const PlanDescription& checked_claim(const layerwise_plan* plan, int64_t count) {
  const PlanDescription& description = checked(plan).description;
  if (!description.is_shard)
    fail(LAYERWISE_ERROR_COMBINATION, "plan is of whole layers; it must be one for a shard (layerwise_plan_set_shard)");
  const int64_t all = LAYERWISE_CLAIM_HEAD + 2 * static_cast<int64_t>(description.pieces.size());
  if (count != LAYERWISE_CLAIM_HEAD && count != all)
    fail(LAYERWISE_ERROR_INVALID_VALUE,
         "count is %lld; it must be LAYERWISE_CLAIM_HEAD (%d) or, with 2 numbers a layer, %lld",
         static_cast<long long>(count), LAYERWISE_CLAIM_HEAD, static_cast<long long>(all));
  return description;
}

std::vector<LayerOptions> checked_layers(const layerwise_plan& plan, const layerwise_layer_options* given) {
  const layerwise_layer_options options = received(given, "options");
  for (int64_t reserved : options.reserved) check_selector(reserved, "reserved", 0, 0);
  std::vector<LayerOptions> layers(plan.description.layout.layers.size());
  for (size_t l = 0; l < layers.size(); ++l) {
    layers[l].lr_mult = checked_multiplier(options.lr_mult, l, "lr_mult");
    layers[l].wd_mult = checked_multiplier(options.wd_mult, l, "wd_mult");
    if (options.skip_larc && options.skip_larc[l] > 1)
      fail(LAYERWISE_ERROR_UNKNOWN_FLAG, "skip_larc[%lld] is %d; it must be 0 or 1", static_cast<long long>(l),
           options.skip_larc[l]);
    layers[l].skip_larc = options.skip_larc && options.skip_larc[l];
  }
  return layers;
}

}  // namespace layerwise
