// A small generator: the schedule must be the same everywhere, whatever the standard library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt::engine {

class Random {
 public:
  explicit Random(std::uint64_t seed = 0) : state_((seed + 1) * 0x9E3779B97F4A7C15ull) {
    for (int i = 0; i < 4; ++i) next();
  }
  std::uint32_t next()  // xorshift64*
  {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return std::uint32_t(state_ * 0x2545F4914F6CDD1Dull >> 32);
  }
  std::size_t below(std::size_t n) { return std::uint64_t(next()) * n >> 32; }
  bool one_in(unsigned n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace simt::engine
