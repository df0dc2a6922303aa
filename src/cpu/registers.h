// The updates, for one vector register of elements. Elements are independent of each other and the order of operations
// on each is fixed, so the width of a register does not change any bit.
#pragma once

#include <type_traits>

#include "cpu/fetch.h"
#include "cpu/lanes.h"
#include "cpu/tile.h"
#include "numerics/step.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

template <class ElementOfLayer, class W, class G, class M>
struct TileUpdate {
  using Element = ElementOfLayer;
  using Full = AllLanes;  // what a loop over whole registers hands over in place of a count
  static constexpr bool kNormsReadWeights = std::is_same_v<Element, LarcCoefficients>;

  TileUpdate(const TileBuffers& tile, const Element& of_layer)
      : weights(static_cast<W*>(tile.weights)),
        grads(static_cast<G*>(tile.grads)),
        moments(static_cast<M*>(tile.first_moment)),
        layer(of_layer) {}

  W* weights;
  G* grads;
  M* moments;
  const Element& layer;
};

// The common part of NovoGrad and SGD: step(g, m, w) replaces the old moments and weights by the new ones.
template <class Element, class W, class G, class M>
struct MomentUpdate : TileUpdate<Element, W, G, M> {
  using TileUpdate<Element, W, G, M>::TileUpdate;

#if defined(LAYERWISE_EVENS_AND_ODDS)
  static constexpr bool kAllBfloat16 =
      std::is_same_v<W, bfloat16> && std::is_same_v<G, bfloat16> && std::is_same_v<M, bfloat16>;
  using Full = std::conditional_t<kAllBfloat16, EvensAndOdds, AllLanes>;

  template <class Step>
  LAYERWISE_INLINE void step(int64_t at, EvensAndOdds, Step step) const {
    Floats g[2], m[2], w[2];
    load_evens_and_odds(this->grads + at, g[0], g[1]);
    load_evens_and_odds(this->moments + at, m[0], m[1]);
    load_evens_and_odds(this->weights + at, w[0], w[1]);
    step(g[0], m[0], w[0]);
    step(g[1], m[1], w[1]);
    store_evens_and_odds(this->moments + at, m[0], m[1]);
    store_evens_and_odds(this->weights + at, w[0], w[1]);
  }
#endif
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
  LAYERWISE_INLINE void open_written(int64_t at) const {
    open_row(this->weights + at);
    open_row(this->moments + at);
  }
};

template <class W, class G, class M, bool kDecoupled>
struct NovogradUpdate : MomentUpdate<NovogradCoefficients, W, G, M> {
  using MomentUpdate<NovogradCoefficients, W, G, M>::MomentUpdate;

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    this->step(at, count, [&](Floats g, Floats& m, Floats& w) __attribute__((always_inline)) {
      if constexpr (kDecoupled)
        novograd_decoupled_element(this->layer, g, m, w);
      else
        novograd_element(this->layer, g, m, w);
    });
  }
};

template <class W, class G, class M, bool kNesterov>
struct LarcMomentumUpdate : MomentUpdate<LarcCoefficients, W, G, M> {
  using MomentUpdate<LarcCoefficients, W, G, M>::MomentUpdate;

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    this->step(at, count, [&](Floats g, Floats& m, Floats& w) __attribute__((always_inline)) {
      const Floats h = sgd_gradient(this->layer, g, w);
      m = sgd_momentum(this->layer, h, m);
      w = sgd_weight(this->layer, kNesterov, h, m, w);
    });
  }
};

// SGD without momentum: b = h, and there is no momentum buffer.
template <class W, class G>
struct LarcSgdUpdate : TileUpdate<LarcCoefficients, W, G, float> {
  using TileUpdate<LarcCoefficients, W, G, float>::TileUpdate;

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    const Floats w = load_lanes(this->weights + at, count);
    const Floats h = sgd_gradient(this->layer, load_lanes(this->grads + at, count), w);
    store_lanes(this->weights + at, sgd_weight(this->layer, false, h, h, w), count);
  }
  LAYERWISE_INLINE void fetch_written(int64_t at) const { prefetch_block(this->weights + at); }
  LAYERWISE_INLINE void open_written(int64_t at) const { open_row(this->weights + at); }
};

template <class W, class G, bool kDecayed>
struct LarcScaleUpdate : TileUpdate<LarcCoefficients, W, G, float> {
  using TileUpdate<LarcCoefficients, W, G, float>::TileUpdate;

  template <class Count>
  LAYERWISE_INLINE void operator()(int64_t at, Count count) const {
    const Floats g = load_lanes(this->grads + at, count);
    if constexpr (kDecayed)
      store_lanes(this->grads + at, larc_decayed_element(this->layer, g, load_lanes(this->weights + at, count)), count);
    else
      store_lanes(this->grads + at, larc_element(this->layer, g), count);
  }
  LAYERWISE_INLINE void fetch_written(int64_t at) const { prefetch_block(this->grads + at); }
  LAYERWISE_INLINE void open_written(int64_t at) const { open_row(this->grads + at); }
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
