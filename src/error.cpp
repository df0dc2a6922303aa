#include "error.h"

#include <cstdarg>
#include <cstdio>
#include <new>
#include <system_error>

#include "layerwise.h"

namespace layerwise {
namespace {

// Fixed storage: recording that memory ran out must not need memory.
thread_local char message[512];

void record(const char* function, const char* text) noexcept {
  std::snprintf(message, sizeof message, "%s: %s", function, text);
}

}  // namespace

void fail(int32_t status, const char* format, ...) {
  char text[448];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Error{status, text};
}

int32_t record_current_exception(const char* function) noexcept {
  try {
    throw;
  } catch (const Error& error) {
    record(function, error.message.c_str());
    return error.status;
  } catch (const std::bad_alloc&) {
    record(function, "out of host memory");
    return LAYERWISE_ERROR_OUT_OF_MEMORY;
  } catch (const std::system_error& error) {
    record(function, error.what());  // a thread that could not be started
    return LAYERWISE_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    record(function, error.what());
    return LAYERWISE_ERROR_INTERNAL;
  } catch (...) {
    record(function, "an exception of unknown type");
    return LAYERWISE_ERROR_INTERNAL;
  }
}

const char* last_error() noexcept { return message; }

const char* status_name(int32_t status) noexcept {
  switch (status) {
#define LAYERWISE_NAME(name) \
  case name:                 \
    return #name;
    LAYERWISE_NAME(LAYERWISE_OK)
    LAYERWISE_NAME(LAYERWISE_ERROR_NULL_ARGUMENT)
    LAYERWISE_NAME(LAYERWISE_ERROR_INVALID_VALUE)
    LAYERWISE_NAME(LAYERWISE_ERROR_UNKNOWN_FLAG)
    LAYERWISE_NAME(LAYERWISE_ERROR_STRUCT_SIZE)
    LAYERWISE_NAME(LAYERWISE_ERROR_INVALID_PLAN)
    LAYERWISE_NAME(LAYERWISE_ERROR_COMBINATION)
    LAYERWISE_NAME(LAYERWISE_ERROR_ALIASED)
    LAYERWISE_NAME(LAYERWISE_ERROR_MISALIGNED)
    LAYERWISE_NAME(LAYERWISE_ERROR_LAYER_RANGE)
    LAYERWISE_NAME(LAYERWISE_ERROR_LAYER_OVERLAP)
    LAYERWISE_NAME(LAYERWISE_ERROR_LAYER_OVERFLOW)
    LAYERWISE_NAME(LAYERWISE_ERROR_RANKS_DISAGREE)
    LAYERWISE_NAME(LAYERWISE_ERROR_UNKNOWN_DTYPE)
    LAYERWISE_NAME(LAYERWISE_ERROR_UNSUPPORTED_DTYPE)
    LAYERWISE_NAME(LAYERWISE_ERROR_NO_CUDA)
    LAYERWISE_NAME(LAYERWISE_ERROR_UNSUPPORTED_ISA)
    LAYERWISE_NAME(LAYERWISE_ERROR_WORKSPACE)
    LAYERWISE_NAME(LAYERWISE_ERROR_OUT_OF_MEMORY)
    LAYERWISE_NAME(LAYERWISE_ERROR_PLAN_FAILED)
    LAYERWISE_NAME(LAYERWISE_ERROR_INTERNAL)
    LAYERWISE_NAME(LAYERWISE_ERROR_CUDA)
#undef LAYERWISE_NAME
  }
  return "unknown status";
}

}  // namespace layerwise
