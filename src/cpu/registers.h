// What each update does to a register of a tile's elements: the operations on an element are ordered, the elements are
// independent, so no register's width changes a bit.
#pragma once

#include "cpu/fetch.h"
#include "cpu/lanes.h"
#include "cpu/tile.h"
#include "numerics/step.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

template <class W, class G, class M>
struct TypedTile {
  explicit TypedTile(const TileBuffers& tile)
      : weights(static_cast<W*>(tile.weights)),
        grads(static_cast<G*>(tile.grads)),
        moments(static_cast<M*>(tile.first_moment)) {}
  W* weights;
  G* grads;
  M* moments;
};

// What NovoGrad and SGD share: step(g, m, w) turns old moments and weights into new ones.
template <class W, class G, class M>
struct MomentUpdate : TypedTile<W, G, M> {
  using TypedTile<W, G, M>::TypedTile;

  template <class Count, class Step>
  LAYERWISE_INLINE void step(int64_t at, Count count, Step step) const {
    Floats m = load_lanes(this->moments + at, count), w = load_lanes(this->weights + at, count);
    step(load_lanes(this->grads + at, count), m, w);
    store_lanes(this->moments + at, m, count);
    store_lanes(this->weights + at, w, count);
  }
  LAYERWISE_INLINE void fetch_written(int64_t at) const {
    prefetch_block(this->weights + at);
    prefetch_block(this->moments + at);
  }
};

template <class W, class G, class M, bool kDecoupled>
struct NovogradUpdate : MomentUpdate<W, G, M> {
  using Element = NovogradElement;
  static constexpr bool kNormsReadWeights = false;

  NovogradUpdate(const TileBuffers& tile, const Element& of_layer) : MomentUpdate<W, G, M>(tile), layer(of_layer) {}

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    this->step(at, count, [&](Floats g, Floats& m, Floats& w) __attribute__((always_inline)) {
      if constexpr (kDecoupled)
        novograd_decoupled_element(layer, g, m, w);
      else
        novograd_element(layer, g, m, w);
    });
  }
  const Element& layer;
};

template <class W, class G, class M, bool kNesterov>
struct LarcMomentumUpdate : MomentUpdate<W, G, M> {
  using Element = LarcElement;
  static constexpr bool kNormsReadWeights = true;

  LarcMomentumUpdate(const TileBuffers& tile, const Element& of_layer) : MomentUpdate<W, G, M>(tile), layer(of_layer) {}

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    this->step(at, count, [&](Floats g, Floats& m, Floats& w) __attribute__((always_inline)) {
      const Floats h = larc_decayed_element(layer, g, w);
      m = sgd_momentum(layer, h, m);
      w = sgd_weight(layer, kNesterov, h, m, w);
    });
  }
  const Element& layer;
};

// Without momentum b = h, and there is no buffer.
template <class W, class G>
struct LarcSgdUpdate : TypedTile<W, G, float> {
  using Element = LarcElement;
  static constexpr bool kNormsReadWeights = true;

  LarcSgdUpdate(const TileBuffers& tile, const Element& of_layer) : TypedTile<W, G, float>(tile), layer(of_layer) {}

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    const Floats w = load_lanes(this->weights + at, count);
    const Floats h = larc_decayed_element(layer, load_lanes(this->grads + at, count), w);
    store_lanes(this->weights + at, sgd_weight(layer, false, h, h, w), count);
  }
  LAYERWISE_INLINE void fetch_written(int64_t at) const { prefetch_block(this->weights + at); }
  const Element& layer;
};

template <class W, class G, bool kDecayed>
struct LarcScaleUpdate : TypedTile<W, G, float> {
  using Element = LarcElement;
  static constexpr bool kNormsReadWeights = true;

  LarcScaleUpdate(const TileBuffers& tile, const Element& of_layer) : TypedTile<W, G, float>(tile), layer(of_layer) {}

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    const Floats g = load_lanes(this->grads + at, count);
    if constexpr (kDecayed)
      store_lanes(this->grads + at, larc_decayed_element(layer, g, load_lanes(this->weights + at, count)), count);
    else
      store_lanes(this->grads + at, larc_element(layer, g), count);
  }
  LAYERWISE_INLINE void fetch_written(int64_t at) const { prefetch_block(this->grads + at); }
  const Element& layer;
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
