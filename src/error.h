// Errors inside the library are exceptions; at the C boundary each becomes a status and this thread's message.
#pragma once

#include <cstdint>
#include <string>

namespace layerwise {

struct Error {
  int32_t status;
  std::string message;
};

// Throws an Error with a printf-formatted message: the argument, the value received and the rule.
[[noreturn]] void fail(int32_t status, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Turns the exception in flight into a status, and records "function: message" for this thread.
int32_t record_current_exception(const char* function) noexcept;

const char* last_error() noexcept;
const char* status_name(int32_t status) noexcept;

// Runs body at the C boundary.
template <class Body>
int32_t guarded(const char* function, Body&& body) noexcept {
  try {
    body();
    return 0;
  } catch (...) {
    return record_current_exception(function);
  }
}

}  // namespace layerwise
