// The legacy atomics: relaxed, device-wide. cuda::atomic_ref needs nothing from here: the toolkit's own
// header turns it into the compiler's atomics, which every build of the harness sees.
#pragma once

#include "location.h"

#include <bit>
#include <type_traits>

namespace simt {

template <class T>
using SameSizeInteger = std::conditional_t<sizeof(T) == 8, unsigned long long,
                                           std::conditional_t<sizeof(T) == 4, unsigned, unsigned short>>;

// Replaces *address by change(*address) atomically; returns what was there.
template <class T, class Change>
SIMT_DEVICE T read_modify_write(T* address, Change change) {
  using Bits = SameSizeInteger<T>;
  auto* bits = reinterpret_cast<Bits*>(address);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(bits, &old, std::bit_cast<Bits>(T(change(std::bit_cast<T>(old)))), false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return std::bit_cast<T>(old);
}

}  // namespace simt

template <class T>
SIMT_DEVICE T atomicAdd(T* address, std::type_identity_t<T> value) {
  if constexpr (std::is_integral_v<T>)
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
  else
    return simt::read_modify_write(address, [=](T old) { return old + value; });
}
template <class T>
SIMT_DEVICE T atomicSub(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);
}
template <class T>
SIMT_DEVICE T atomicAnd(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);
}
template <class T>
SIMT_DEVICE T atomicOr(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
template <class T>
SIMT_DEVICE T atomicXor(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_xor(address, value, __ATOMIC_RELAXED);
}
template <class T>
SIMT_DEVICE T atomicMin(T* address, std::type_identity_t<T> value) {
  return simt::read_modify_write(address, [=](T old) { return value < old ? value : old; });
}
template <class T>
SIMT_DEVICE T atomicMax(T* address, std::type_identity_t<T> value) {
  return simt::read_modify_write(address, [=](T old) { return old < value ? value : old; });
}
SIMT_DEVICE unsigned atomicInc(unsigned* address, unsigned limit) {
  return simt::read_modify_write(address, [=](unsigned old) { return old >= limit ? 0u : old + 1; });
}
template <class T>
SIMT_DEVICE T atomicExch(T* address, std::type_identity_t<T> value) {
  T old;
  __atomic_exchange(address, &value, &old, __ATOMIC_RELAXED);
  return old;
}
template <class T>
SIMT_DEVICE T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
