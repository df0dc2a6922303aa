// What asynchronous copies do to an mbarrier.
#pragma once

#include <cstdint>

namespace simt::engine {

void arrive_on(std::uint64_t* barrier, unsigned count, unsigned bytes, const char* operation);
void expect_one_more(std::uint64_t* barrier);
void bytes_copied(std::uint64_t* barrier, unsigned bytes);

}  // namespace simt::engine
