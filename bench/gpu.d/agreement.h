// Whether a buffer of the device agrees with the CPU's.
#pragma once

#include <cstdint>
#include <string>

namespace bench {

enum class Agreement {
  kSameBits,   // NaN equal to any NaN: this library
  kSameValue,  // but for what the order of a sum may change: all others
};

// The first of count elements that do not agree, or -1.
int64_t first_difference(Agreement agreement, int32_t dtype, const void* device, const void* cpu, int64_t count);

std::string describe(const char* buffer, int64_t layer, int64_t element, int32_t dtype, const void* device,
                     const void* cpu, int64_t i);

}  // namespace bench
