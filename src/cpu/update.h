// The loops over the elements of a layer's tiles. Each is left to the compiler to vectorise: the operations on an
// element are ordered, the elements are independent, so no vector width changes a bit.
#pragma once

#include <type_traits>

#include "cpu/block.h"
#include "cpu/tile.h"
#include "numerics/step.h"
#include "numerics/summation.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// Where a tile is a layer of its own, the next layer's norm would wait for memory again and again: what it reads lies
// behind this layer in a packed buffer and is fetched with each block. What an update reads itself comes by hardware
// there. In larger layers its streams start afresh with every run of tiles, which leaves the hardware behind: they are
// fetched so many elements ahead. Measured on two cores of a Zen 5: either way costs the other kind of layer 3 %.
constexpr int64_t kPrefetchDistance = 1024;

inline bool is_one_tile(int64_t count) { return count <= kTileElements; }

// Calls body(begin, count) for consecutive blocks of [0, count), fetching a block of each of the addresses with it. The
// count of a whole block is a compile-time constant.
template <class Body, class... Fetched>
LAYERWISE_INLINE void for_each_block(int64_t count, Body body, const Fetched*... fetched) {
  int64_t begin = 0;
  for (; begin + kBlockElements <= count; begin += kBlockElements) {
    (prefetch_block(fetched + begin), ...);
    body(begin, std::integral_constant<int, kBlockElements>());
  }
  if (begin < count) body(begin, static_cast<int>(count - begin));
}

// What NovoGrad and SGD share: update(g, m, w) turns an old moment and weight into new ones.
template <class W, class G, class M, bool kNormReadsWeights, class Update>
LAYERWISE_INLINE void update_tiles(const TileBuffers& tiles, Update update) {
  W* const weights = static_cast<W*>(tiles.weights);
  const G* const grads = static_cast<const G*>(tiles.grads);
  M* const moments = static_cast<M*>(tiles.first_moment);
  const auto block = [=](int64_t begin, auto given_count) {
    const int count = given_count;
    const BlockReader<W> old_weights(weights + begin, count);
    const BlockReader<G> gradients(grads + begin, count);
    const BlockReader<M> old_moments(moments + begin, count);
    BlockWriter<W> new_weights(weights + begin, count);
    BlockWriter<M> new_moments(moments + begin, count);
    _Pragma("GCC ivdep") for (int i = 0; i < count; ++i) {
      float w = old_weights[i], m = old_moments[i];
      update(gradients[i], m, w);
      new_moments.set(i, m);
      new_weights.set(i, w);
    }
    new_moments.finish();
    new_weights.finish();
  };
  if (!is_one_tile(tiles.count))
    for_each_block(tiles.count, block, weights + kPrefetchDistance, moments + kPrefetchDistance);
  else if (kNormReadsWeights)
    for_each_block(tiles.count, block, grads + tiles.count, weights + tiles.count);
  else
    for_each_block(tiles.count, block, grads + tiles.count);
}

template <class W, class G, class M, bool kDecoupled>
void novograd_tiles(const TileBuffers& tiles, const NovogradElement& given) {
  const NovogradElement layer = given;
  update_tiles<W, G, M, false>(tiles, [=](float g, float& m, float& w) __attribute__((always_inline)) {
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
  const auto block = [=](int64_t begin, auto given_count) {
    const int count = given_count;
    const BlockReader<G> gradients(grads + begin, count);
    BlockWriter<G> scaled(grads + begin, count);
    if constexpr (kDecayed) {
      const BlockReader<W> w(weights + begin, count);
      _Pragma("GCC ivdep") for (int i = 0; i < count; ++i)
          scaled.set(i, larc_decayed_element(layer, gradients[i], w[i]));
    } else {
      _Pragma("GCC ivdep") for (int i = 0; i < count; ++i) scaled.set(i, larc_element(layer, gradients[i]));
    }
    scaled.finish();
  };
  if (is_one_tile(tiles.count))
    for_each_block(tiles.count, block, grads + tiles.count, weights + tiles.count);
  else
    for_each_block(tiles.count, block, grads + kPrefetchDistance);
}

// Without momentum b = h, and there is no buffer.
template <class W, class G>
void larc_sgd_tiles(const TileBuffers& tiles, const LarcElement& given) {
  W* const weights = static_cast<W*>(tiles.weights);
  const G* const grads = static_cast<const G*>(tiles.grads);
  const LarcElement layer = given;
  const auto block = [=](int64_t begin, auto given_count) {
    const int count = given_count;
    const BlockReader<W> old_weights(weights + begin, count);
    const BlockReader<G> gradients(grads + begin, count);
    BlockWriter<W> new_weights(weights + begin, count);
    _Pragma("GCC ivdep") for (int i = 0; i < count; ++i) {
      const float w = old_weights[i], h = larc_decayed_element(layer, gradients[i], w);
      new_weights.set(i, sgd_weight(layer, false, h, h, w));
    }
    new_weights.finish();
  };
  if (is_one_tile(tiles.count))
    for_each_block(tiles.count, block, grads + tiles.count, weights + tiles.count);
  else
    for_each_block(tiles.count, block, weights + kPrefetchDistance);
}

template <class W, class G, class M, bool kNesterov>
void larc_sgd_momentum_tiles(const TileBuffers& tiles, const LarcElement& given) {
  const LarcElement layer = given;
  update_tiles<W, G, M, true>(tiles, [=](float g, float& m, float& w) __attribute__((always_inline)) {
    const float h = larc_decayed_element(layer, g, w);
    m = sgd_momentum(layer, h, m);
    w = sgd_weight(layer, kNesterov, h, m, w);
  });
}

template <class E>
void copy_tiles(const TileBuffers& tiles) {
  const float* const weights = static_cast<const float*>(tiles.weights);
  E* const copy = static_cast<E*>(tiles.weights_extra);
  const auto block = [=](int64_t begin, auto given_count) {
    const int count = given_count;
    BlockWriter<E> written(copy + begin, count);
    _Pragma("GCC ivdep") for (int i = 0; i < count; ++i) written.set(i, weights[begin + i]);
    written.finish();
  };
  for_each_block(tiles.count, block, copy + kPrefetchDistance);
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
