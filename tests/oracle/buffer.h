// A host buffer of one storage dtype, with marked memory before and after it and any alignment an element allows.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

#include "rounding.h"

namespace oracle {

// Memory aligned to 256 bytes, so that what a buffer's shift says is how misaligned it is.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{256})); }
  void deallocate(T* memory, size_t) { ::operator delete(memory, std::align_val_t{256}); }
  template <class U>
  bool operator==(const AlignedAllocator<U>&) const {
    return true;
  }
};

class Buffer {
 public:
  Buffer() = default;
  Buffer(int32_t dtype, int64_t count, int64_t shift = 0)
      : dtype_(dtype),
        count_(count),
        begin_(kGuard + static_cast<size_t>(shift) * element_size()),
        bytes_(begin_ + static_cast<size_t>(count) * element_size() + kGuard, std::byte{0xa5}) {}

  bool present() const { return dtype_ != LAYERWISE_DTYPE_NONE; }
  int32_t dtype() const { return dtype_; }
  int64_t count() const { return count_; }
  size_t element_size() const { return static_cast<size_t>(format_of(dtype_).bytes); }

  void* data() { return present() ? bytes_.data() + begin_ : nullptr; }
  void* at(int64_t index) { return bytes_.data() + offset(index); }
  const void* at(int64_t index) const { return bytes_.data() + offset(index); }

  // All of it, the guards included, and where in it the elements begin.
  std::vector<std::byte, AlignedAllocator<std::byte>>& bytes() { return bytes_; }
  const std::vector<std::byte, AlignedAllocator<std::byte>>& bytes() const { return bytes_; }
  size_t first_byte() const { return begin_; }

  double get(int64_t index) const { return load(dtype_, at(index)); }
  void set(int64_t index, long double value) { store(dtype_, at(index), value); }
  uint64_t bits(int64_t index) const { return load_bits(dtype_, at(index)); }
  void fill(long double value) {
    if (count_ > 0) set(0, value);
    for (int64_t i = 1; i < count_; ++i) std::memcpy(at(i), at(0), element_size());
  }

  // Every byte, the guards included.
  bool operator==(const Buffer& other) const { return bytes_ == other.bytes_; }
  bool same_elements(const Buffer& other, int64_t begin, int64_t end) const {
    return begin == end ||
           std::memcmp(at(begin), other.at(begin), static_cast<size_t>(end - begin) * element_size()) == 0;
  }
  bool same_guards(const Buffer& other) const {
    const size_t end = offset(count_);
    return bytes_.size() == other.bytes_.size() && std::memcmp(bytes_.data(), other.bytes_.data(), begin_) == 0 &&
           std::memcmp(bytes_.data() + end, other.bytes_.data() + end, bytes_.size() - end) == 0;
  }

 private:
  static constexpr size_t kGuard = 256;
  size_t offset(int64_t index) const { return begin_ + static_cast<size_t>(index) * element_size(); }

  int32_t dtype_ = LAYERWISE_DTYPE_NONE;
  int64_t count_ = 0;
  size_t begin_ = 0;
  std::vector<std::byte, AlignedAllocator<std::byte>> bytes_;
};

}  // namespace oracle
