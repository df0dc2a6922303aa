// Source places of parked threads, by walking their frames and asking addr2line once for all of them.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace simt::engine {

struct Fiber;

class Symbols {
 public:
  Symbols();                                 // of all threads of the launch, and of its kernel
  std::string place_of(const Fiber&) const;  // "norms.cu:88", or "tile.cuh:40, from norms.cu:88"
  std::string kernel() const { return kernel_; }

 private:
  struct Frame {
    std::string function, place;
  };
  struct Frames {
    std::vector<Frame> frames;
  };  // one address: the inlined ones first
  struct Address {
    const void* pc;
  };
  void resolve(const std::vector<Address>& addresses);
  std::map<const void*, Frames> known_;
  std::string kernel_ = "?";
};

}  // namespace simt::engine
