// Shared memory, and loads and stores with a cache hint.
#pragma once

#include "location.h"

#include <cstddef>
#include <type_traits>

namespace simt {

// The running block's copy of a static shared variable, made at its first use: exact size, filled with
// 0xFF (a NaN, and a huge index), so that a read before the first write shows.
void* shared_variable(const void* key, std::size_t size, std::size_t alignment, const char* name);

// The running block's dynamic shared memory, likewise.
unsigned char* dynamic_shared();

}  // namespace simt

// kernels/tile.cuh maps its shared-memory macros onto these under SIMT_HARNESS. A raw __shared__ would
// silently become a variable of each thread: lint_sources.py refuses it.
#define SIMT_SHARED(name, ...)                                                                    \
  static char name##_simt_key;                                                                    \
  ::std::type_identity_t<__VA_ARGS__>& name = *static_cast<::std::type_identity_t<__VA_ARGS__>*>( \
      ::simt::shared_variable(&name##_simt_key, sizeof(__VA_ARGS__), alignof(__VA_ARGS__), #name))
#define SIMT_DYNAMIC_SHARED(name) unsigned char* const name = ::simt::dynamic_shared()

// Caches are not modelled: a hint changes nothing.
#define SIMT_LOAD(name)                  \
  template <class T>                     \
  SIMT_DEVICE T name(const T* address) { \
    return *address;                     \
  }
SIMT_LOAD(__ldg)
SIMT_LOAD(__ldca)
SIMT_LOAD(__ldcg)
SIMT_LOAD(__ldcs)
SIMT_LOAD(__ldcv)
SIMT_LOAD(__ldlu)
#undef SIMT_LOAD

#define SIMT_STORE(name)                                               \
  template <class T>                                                   \
  SIMT_DEVICE void name(T* address, ::std::type_identity_t<T> value) { \
    *address = value;                                                  \
  }
SIMT_STORE(__stcg)
SIMT_STORE(__stcs)
SIMT_STORE(__stwb)
SIMT_STORE(__stwt)
#undef SIMT_STORE

// Address conversions, as far as ordinary code can use them: a shared address is an address here.
SIMT_DEVICE std::size_t __cvta_generic_to_shared(const void* address) { return reinterpret_cast<std::size_t>(address); }
SIMT_DEVICE std::size_t __cvta_generic_to_global(const void* address) { return reinterpret_cast<std::size_t>(address); }
