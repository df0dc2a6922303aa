// What XLA hands to a handler: where the call runs, its operands and results, each held against what the library will
// read and write.
#pragma once

#include <dlfcn.h>
#include <layerwise.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace layerwise_jax {

namespace ffi = xla::ffi;

inline int32_t dtype_of(ffi::AnyBuffer buffer) {
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
template <typename Function>
Function driver(const char* name) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  void* const function = library ? dlsym(library, name) : nullptr;
  if (!function) throw std::runtime_error(std::string("libcuda.so.1 has no ") + name);
  return reinterpret_cast<Function>(function);
}

inline void check_driver(int code, const char* what) {
  if (code) throw std::runtime_error(std::string(what) + ": CUDA driver error " + std::to_string(code));
}

// From pageable memory: the driver has taken its copy when it returns.
inline void copy_to_device(void* device, const void* host, size_t bytes, void* stream) {
  using Copy = int (*)(unsigned long long, const void*, size_t, void*);
  static const Copy copy = driver<Copy>("cuMemcpyHtoDAsync_v2");
  check_driver(copy(reinterpret_cast<unsigned long long>(device), host, bytes, stream),
               "copying the layers' addresses to the device");
}

// Waits for the stream: what is copied is there when it returns.
inline void copy_from_device(void* host, const void* device, size_t bytes, void* stream) {
  using Copy = int (*)(void*, unsigned long long, size_t, void*);
  using Wait = int (*)(void*);
  static const Copy copy = driver<Copy>("cuMemcpyDtoHAsync_v2");
  static const Wait wait = driver<Wait>("cuStreamSynchronize");
  check_driver(copy(host, reinterpret_cast<unsigned long long>(device), bytes, stream), "reading hyper-parameters");
  check_driver(wait(stream), "reading hyper-parameters");
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

  // lr, grad_scale and found_inf, then as many hyper-parameters.
  const float* numbers(size_t hyper_parameters) {
    const int64_t count = 3 + static_cast<int64_t>(hyper_parameters);
    return static_cast<const float*>(read({"numbers"}, count, LAYERWISE_DTYPE_FLOAT32).untyped_data());
  }

  int64_t* completed_steps() {
    auto halves = arguments_.get<ffi::AnyBuffer>(argument_++);
    if (halves.has_error() || halves->element_type() != ffi::S32 || halves->element_count() != 2)
      throw std::invalid_argument("the completed steps are not two int32");
    return static_cast<int64_t*>(halves->untyped_data());
  }

  // One sum a layer, of all its pieces.
  const double* sums(const char* what, size_t layers) {
    return static_cast<const double*>(
        read({what}, static_cast<int64_t>(layers), LAYERWISE_DTYPE_FLOAT64).untyped_data());
  }

  // Which layers' sums are wanted of this device.
  const uint8_t* counted(size_t layers) {
    auto mask = arguments_.get<ffi::AnyBuffer>(argument_++);
    if (mask.has_error() || mask->element_type() != ffi::U8 || mask->element_count() != layers)
      throw std::invalid_argument("counted is not one uint8 for each layer");
    return static_cast<const uint8_t*>(mask->untyped_data());
  }

  // A result that no operand becomes.
  double* new_sums(size_t layers) {
    auto result = results_.get<ffi::AnyBuffer>(result_++);
    if (result.has_error() || (*result)->element_type() != ffi::F64 || (*result)->element_count() != layers)
      throw std::invalid_argument("the sums are not one float64 for each layer");
    return static_cast<double*>((*result)->untyped_data());
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

}  // namespace layerwise_jax
