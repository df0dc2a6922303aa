// The loops over the elements of a layer's tiles, a register at a time.
#pragma once

#include "cpu/norm.h"
#include "cpu/registers.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// Prefetch distance, in elements, for the low-precision copy and for the weights that decayed gradients need.
constexpr int64_t kPrefetchDistance = 1024;

inline bool is_one_tile(int64_t count) { return count <= kTileElements; }

// Calls body(at, count) for the elements [0, count) in consecutive registers, of which the last may not be full, and
// fetch(at) before each block of them. In place of the count of a whole register, or two, body gets a Full. fetch must be
// inlined: if it does nothing but prefetch, g++ considers a call of it free of effects and removes it.
template <class Full = AllLanes, class Body, class Fetch>
LAYERWISE_INLINE void for_each_register(int64_t count, const Body& body, const Fetch& fetch) {
  int64_t at = 0;
  while (at + kBlockElements <= count) {
    fetch(at);
    LAYERWISE_NOT_UNROLLED
    for (int i = 0; i < kBlockElements / Full::kElements; ++i, at += Full::kElements) body(at, Full());
  }
  for (; at < count; at += kLanes) body(at, count - at);
}

// In layers of more than one tile, an update prefetches the first lines of the rows of the next run, which begins
// to_next_run elements before this one. For a layer of one tile it prefetches what the norms of the next layer will
// read, which in a packed buffer lies directly behind this layer.
template <class Update>
void update_tiles(const TileBuffers& tiles, int64_t to_next_run, const typename Update::Element& given) {
  const auto layer = given;  // copied: wide loads of `given` would stall, since it was just stored float by float
  const Update update(tiles, layer);
  if (!is_one_tile(tiles.count))
    return for_each_register<typename Update::Full>(tiles.count, update, [&](int64_t at) __attribute__((always_inline)) {
      if (at % kAccumulators == 0) update.open_written(at - to_next_run);
    });
  for_each_register<typename Update::Full>(tiles.count, update, [&](int64_t at) __attribute__((always_inline)) {
    prefetch_block(update.grads + tiles.count + at);
    if (Update::kNormsReadWeights && at < kShort) prefetch_block(update.weights + tiles.count + at);
  });
}

// LARC sums both weights and gradients. A layer of several rows is summed in the same loop in which the layer before it
// is updated, so that every array is read as one stream across layers. Measured on two cores of a Zen 3, compared with
// one after the other: it saves 4 to 11 % of larc_scale and larc_sgd_step on layers of 4000 to 8000 elements. It is a
// loss with two rows or fewer, and for NovoGrad, which sums gradients only.
constexpr bool is_worth_summing_beside(int64_t count) { return count > 2 * kAccumulators && is_one_tile(count); }

template <class Update>
void update_beside(const TileBuffers& tile, const LarcCoefficients& given, const TileBuffers& next,
                   TwoRowAccumulators& rows) {
  const auto layer = given;
  const Update update(tile, layer), next_update(next, layer);
  const auto grads = row_squares(next_update.grads, rows.first);
  const auto weights = row_squares(next_update.weights, rows.second);
  const int64_t both = (tile.count < next.count ? tile.count : next.count) / kLanes * kLanes;
  for (int64_t at = 0; at < both; at += kLanes) {
    update(at, AllLanes());
    grads.add(at, AllLanes());
    weights.add(at, AllLanes());
  }
  for (int64_t at = both; at < tile.count; at += kLanes) update(at, tile.count - at);
  for (int64_t at = both; at < next.count; at += kLanes) {
    grads.add(at, next.count - at);
    weights.add(at, next.count - at);
  }
  next_update.fetch_written(0);
}

template <class E>
void copy_tiles(const TileBuffers& tiles) {
  const float* const weights = static_cast<const float*>(tiles.weights);
  E* const copy = static_cast<E*>(tiles.weights_extra);
  for_each_register(
      tiles.count, [=](int64_t at, auto count) { store_lanes(copy + at, load_lanes(weights + at, count), count); },
      [=](int64_t at) __attribute__((always_inline)) { prefetch_block(copy + at + kPrefetchDistance); });
}

// Writes g + decay*w into a buffer of the thread, for LARC's norm of the decayed gradient.
template <class W, class G>
void decay_tile(const void* grads, const void* weights, float decay, float* to, int64_t count) {
  const G* const g = static_cast<const G*>(grads);
  const W* const w = static_cast<const W*>(weights);
  for_each_register(
      count,
      [=](int64_t at, auto lanes) {
        store_lanes(to + at, fma(decay, load_lanes(w + at, lanes), load_lanes(g + at, lanes)), lanes);
      },
      [=](int64_t at) __attribute__((always_inline)) { prefetch_block(w + at + kPrefetchDistance); });
}
using Decay = void (*)(const void* grads, const void* weights, float decay, float* to, int64_t count);
inline Decay decay_for(Dtype weights, Dtype grads) {
  return visit_element_dtype(weights, [&]<class W>() {
    return visit_element_dtype(grads, [&]<class G>() -> Decay { return &decay_tile<W, G>; });
  });
}

using NovogradUpdates = void (*)(const TileBuffers& tiles, int64_t to_next_run, const NovogradCoefficients& layer);
struct LarcUpdates {
  void (*tiles)(const TileBuffers& tiles, int64_t to_next_run, const LarcCoefficients& layer);
  void (*beside)(const TileBuffers& tile, const LarcCoefficients& layer, const TileBuffers& next, TwoRowAccumulators& rows);
};
template <class Update>
constexpr LarcUpdates larc_updates() {
  return {&update_tiles<Update>, &update_beside<Update>};
}
using Copy = void (*)(const TileBuffers& tiles);

// Calls visitor.operator()<W, G, M>() for the dtypes that the loops see.
template <class Visitor>
inline auto visit_seen_dtypes(const Dtypes& dtypes, Visitor&& visitor) {
  if constexpr (kConvertsTiles)
    return visitor.template operator()<float, float, float>();
  else
    return visit_dtypes(dtypes, visitor);
}

inline NovogradUpdates novograd_for(const Dtypes& dtypes, bool decoupled) {
  return visit_seen_dtypes(dtypes, [&]<class W, class G, class M>() -> NovogradUpdates {
    return decoupled ? &update_tiles<NovogradUpdate<W, G, M, true>> : &update_tiles<NovogradUpdate<W, G, M, false>>;
  });
}

inline LarcUpdates larc_scale_for(const Dtypes& dtypes, bool decayed) {
  return visit_seen_dtypes(dtypes, [&]<class W, class G, class M>() {
    return decayed ? larc_updates<LarcScaleUpdate<W, G, true>>() : larc_updates<LarcScaleUpdate<W, G, false>>();
  });
}

inline LarcUpdates larc_sgd_for(const Dtypes& dtypes, bool momentum, bool nesterov) {
  return visit_seen_dtypes(dtypes, [&]<class W, class G, class M>() {
    if (!momentum) return larc_updates<LarcSgdUpdate<W, G>>();
    return nesterov ? larc_updates<LarcMomentumUpdate<W, G, M, true>>()
                    : larc_updates<LarcMomentumUpdate<W, G, M, false>>();
  });
}

// Writes the low-precision copy of float32 weights.
inline Copy copy_for(Dtype weights_extra) {
  return weights_extra == Dtype::kFloat16 ? &copy_tiles<float16> : &copy_tiles<bfloat16>;
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
