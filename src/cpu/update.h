// The loops over the elements of a layer's tiles, a register at a time: the operations on an element are ordered, the
// elements are independent, so no register's width changes a bit.
#pragma once

#include "cpu/fetch.h"
#include "cpu/lanes.h"
#include "cpu/tile.h"
#include "numerics/step.h"
#include "numerics/summation.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// In layers of more than one tile an update's streams start afresh with every run of tiles, which leaves the hardware
// behind: they are fetched so many elements ahead. Where a tile is a layer of its own they are not; what the next
// layer's norms read, which lies behind this layer in a packed buffer, is fetched there. Measured on two cores of a Zen
// 5: either way costs the other kind of layer 3 %.
constexpr int64_t kPrefetchDistance = 1024;

inline bool is_one_tile(int64_t count) { return count <= kTileElements; }

// Calls body(at, count) for consecutive registers of elements of [0, count), of which the last may be a part, fetching
// a block of each of the arrays with every block of them.
template <class Body, class... Arrays>
LAYERWISE_INLINE void for_each_register(int64_t count, Body body, Arrays... fetched) {
  int64_t at = 0;
  while (at + kBlockElements <= count) {
    (fetch_block(fetched, at), ...);
    for (int i = 0; i < kBlockElements / kLanes; ++i, at += kLanes) body(at, AllLanes());
  }
  for (; at < count; at += kLanes) body(at, count - at);
}

// What NovoGrad and SGD share: update(g, m, w) turns old moments and weights into new ones.
template <class W, class G, class M, bool kNormReadsWeights, class Update>
LAYERWISE_INLINE void update_tiles(const TileBuffers& tiles, Update update) {
  W* const weights = static_cast<W*>(tiles.weights);
  const G* const grads = static_cast<const G*>(tiles.grads);
  M* const moments = static_cast<M*>(tiles.first_moment);
  const auto body = [=](int64_t at, auto count) {
    Floats m = load_lanes(moments + at, count), w = load_lanes(weights + at, count);
    update(load_lanes(grads + at, count), m, w);
    store_lanes(moments + at, m, count);
    store_lanes(weights + at, w, count);
  };
  if (!is_one_tile(tiles.count))
    for_each_register(tiles.count, body, weights + kPrefetchDistance, moments + kPrefetchDistance);
  else if (kNormReadsWeights)
    for_each_register(tiles.count, body, grads + tiles.count, Start(weights + tiles.count));
  else
    for_each_register(tiles.count, body, grads + tiles.count);
}

template <class W, class G, class M, bool kDecoupled>
void novograd_tiles(const TileBuffers& tiles, const NovogradElement& given) {
  const NovogradElement layer = given;
  update_tiles<W, G, M, false>(tiles, [=](Floats g, Floats& m, Floats& w) __attribute__((always_inline)) {
    if constexpr (kDecoupled)
      novograd_decoupled_element(layer, g, m, w);
    else
      novograd_element(layer, g, m, w);
  });
}

template <class W, class G, bool kDecayed>
void larc_scale_tiles(const TileBuffers& tiles, const LarcElement& given) {
  const W* const weights = static_cast<const W*>(tiles.weights);
  G* const grads = static_cast<G*>(tiles.grads);
  const LarcElement layer = given;
  const auto body = [=](int64_t at, auto count) {
    const Floats g = load_lanes(grads + at, count);
    if constexpr (kDecayed)
      store_lanes(grads + at, larc_decayed_element(layer, g, load_lanes(weights + at, count)), count);
    else
      store_lanes(grads + at, larc_element(layer, g), count);
  };
  if (is_one_tile(tiles.count))
    for_each_register(tiles.count, body, grads + tiles.count, Start(weights + tiles.count));
  else
    for_each_register(tiles.count, body, grads + kPrefetchDistance);
}

// Without momentum b = h, and there is no buffer.
template <class W, class G>
void larc_sgd_tiles(const TileBuffers& tiles, const LarcElement& given) {
  W* const weights = static_cast<W*>(tiles.weights);
  const G* const grads = static_cast<const G*>(tiles.grads);
  const LarcElement layer = given;
  const auto body = [=](int64_t at, auto count) {
    const Floats w = load_lanes(weights + at, count);
    const Floats h = larc_decayed_element(layer, load_lanes(grads + at, count), w);
    store_lanes(weights + at, sgd_weight(layer, false, h, h, w), count);
  };
  if (is_one_tile(tiles.count))
    for_each_register(tiles.count, body, grads + tiles.count, Start(weights + tiles.count));
  else
    for_each_register(tiles.count, body, weights + kPrefetchDistance);
}

template <class W, class G, class M, bool kNesterov>
void larc_sgd_momentum_tiles(const TileBuffers& tiles, const LarcElement& given) {
  const LarcElement layer = given;
  update_tiles<W, G, M, true>(tiles, [=](Floats g, Floats& m, Floats& w) __attribute__((always_inline)) {
    const Floats h = larc_decayed_element(layer, g, w);
    m = sgd_momentum(layer, h, m);
    w = sgd_weight(layer, kNesterov, h, m, w);
  });
}

template <class E>
void copy_tiles(const TileBuffers& tiles) {
  const float* const weights = static_cast<const float*>(tiles.weights);
  E* const copy = static_cast<E*>(tiles.weights_extra);
  const auto body = [=](int64_t at, auto count) { store_lanes(copy + at, load_lanes(weights + at, count), count); };
  for_each_register(tiles.count, body, copy + kPrefetchDistance);
}

template <class Element>
using Update = void (*)(const TileBuffers& tiles, const Element& layer);
using Copy = void (*)(const TileBuffers& tiles);

inline Update<NovogradElement> novograd_for(const Dtypes& dtypes, bool decoupled) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() -> Update<NovogradElement> {
    return decoupled ? &novograd_tiles<W, G, M, true> : &novograd_tiles<W, G, M, false>;
  });
}

inline Update<LarcElement> larc_scale_for(const Dtypes& dtypes, bool decayed) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() -> Update<LarcElement> {
    return decayed ? &larc_scale_tiles<W, G, true> : &larc_scale_tiles<W, G, false>;
  });
}

inline Update<LarcElement> larc_sgd_for(const Dtypes& dtypes, bool momentum, bool nesterov) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() -> Update<LarcElement> {
    if (!momentum) return &larc_sgd_tiles<W, G>;
    return nesterov ? &larc_sgd_momentum_tiles<W, G, M, true> : &larc_sgd_momentum_tiles<W, G, M, false>;
  });
}

// The float32 weights' low-precision copy.
inline Copy copy_for(Dtype weights_extra) {
  return weights_extra == Dtype::kFloat16 ? &copy_tiles<float16> : &copy_tiles<bfloat16>;
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
