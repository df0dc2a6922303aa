// The update of a tile, for any optimizer: a full aligned tile in rows of quads, any other tile element by element.
#pragma once

#include "kernels/layer_state.cuh"
#include "kernels/row_ring.cuh"

namespace layerwise {

// Gradient, moment and weight of one element, and of four neighbouring elements.
struct Singles {
  float g, m, w;
};
struct Quads {
  FloatQuad g, m, w;
};

// How an optimizer updates the elements of a tile: what is loaded, how an element changes, and what is stored.
template <class T>
concept TileUpdate = requires(const T tile, int i, Quads& quads, Singles& singles, const typename T::Coefficients& layer) {
  { T::kRowsAtOnce } -> std::convertible_to<int>;
  { T::kSinglesAtOnce } -> std::convertible_to<int>;
  { T::kAsksEarly } -> std::convertible_to<bool>;  // load the first rows before the layer's constants are known
  { tile.aligned() } -> std::same_as<bool>;
  tile.load_four(i, quads);
  tile.load_one(i, singles);
  tile.apply(layer, singles);
  tile.store_four(i, quads, layer);
  tile.store_one(i, singles, layer);
};

// Where a tile gets the constants of its layer. wait() returns them. begin() is called as soon as the wait is over, and
// go_on() once the following loads have been issued, so that a block can overlap other work with them. is_for_warp: the
// tile belongs to a single warp.
template <class T, class Coefficients>
concept LayerSource = requires(const T source) {
  { T::kMayWait } -> std::convertible_to<bool>;
  { source.is_for_warp } -> std::convertible_to<bool>;
  { source.wait() } -> std::same_as<LayerConstants<Coefficients>>;
  source.begin();
  source.go_on();
};

// For a layer that an earlier launch has finished: there is nothing to wait for.
template <class Coefficients>
struct FinishedLayer {
  static constexpr bool kMayWait = false;
  const DevicePlan& plan;
  uint32_t layer;
  bool is_for_warp;

  __device__ __forceinline__ LayerConstants<Coefficients> wait() const { return load_constants<Coefficients>(plan, layer); }
  __device__ __forceinline__ void begin() const {}
  __device__ __forceinline__ void go_on() const {}
};

template <TileUpdate T>
__device__ __forceinline__ void apply_four(const T& tile, const typename T::Coefficients& layer, Quads& quads) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i) {
    Singles one{quads.g.element[i], quads.m.element[i], quads.w.element[i]};
    tile.apply(layer, one);
    quads.g.element[i] = one.g, quads.m.element[i] = one.m, quads.w.element[i] = one.w;
  }
}

template <TileUpdate T, LayerSource<typename T::Coefficients> Source>
__device__ __forceinline__ void update_rows(const T& tile, const Source& source) {
  constexpr bool kAsksEarly = Source::kMayWait && T::kAsksEarly;
  LayerConstants<typename T::Coefficients> layer;
  if constexpr (!kAsksEarly) {
    layer = source.wait();
    source.begin();
    if (!layer.is_finite) return source.go_on();
  }
#pragma unroll 1
  for (int first = 0; first < kRows; first += T::kRowsAtOnce) {
    Quads rows[T::kRowsAtOnce];
    const auto element = [&](int row) {
      return (first + row) * kAccumulators + static_cast<int>(threadIdx.x) * kThreadElements;
    };
#pragma unroll
    for (int row = 0; row < T::kRowsAtOnce; ++row) tile.load_four(element(row), rows[row]);
    if constexpr (kAsksEarly) {
      // The first rows were requested before the wait, since loading them does not need the layer's constants.
      if (first == 0) {
        layer = source.wait();
        source.begin();
      }
      if (first == T::kRowsAtOnce || !layer.is_finite) source.go_on();
      if (!layer.is_finite) return;
    } else {
      if (first == 0) source.go_on();
    }
#pragma unroll
    for (int row = 0; row < T::kRowsAtOnce; ++row) {
      apply_four(tile, layer.coefficients, rows[row]);
      tile.store_four(element(row), rows[row], layer.coefficients);
    }
  }
}

// Updates kCount elements: first, first + kApart and so on.
template <int kCount, int kApart, TileUpdate T>
__device__ __forceinline__ void update_some(const T& tile, const typename T::Coefficients& layer, int first) {
  Singles elements[kCount];
#pragma unroll
  for (int e = 0; e < kCount; ++e) tile.load_one(first + e * kApart, elements[e]);
#pragma unroll
  for (int e = 0; e < kCount; ++e) {
    tile.apply(layer, elements[e]);
    tile.store_one(first + e * kApart, elements[e], layer);
  }
}

// Neighbouring threads take neighbouring elements, so the accesses of a warp are coalesced.
template <TileTeam Team, TileUpdate T, LayerSource<typename T::Coefficients> Source>
__device__ __forceinline__ void update_singles(const T& tile, int count, const Source& source) {
  const LayerConstants<typename T::Coefficients> layer = source.wait();
  source.begin();
  source.go_on();
  if (!layer.is_finite) return;
  int first = Team::rank();
#pragma unroll 1
  for (; first + (T::kSinglesAtOnce - 1) * Team::kThreads < count;
       first += T::kSinglesAtOnce * Team::kThreads)
    update_some<T::kSinglesAtOnce, Team::kThreads>(tile, layer.coefficients, first);
#pragma unroll 1
  for (; first < count; first += Team::kThreads) update_some<1, Team::kThreads>(tile, layer.coefficients, first);
}

template <TileUpdate T, LayerSource<typename T::Coefficients> Source>
__device__ __forceinline__ void update_tile(const T& tile, int count, const Source& source) {
  if (source.is_for_warp)
    update_singles<OneWarp>(tile, count, source);
  else if (count == kTileElements && tile.aligned())
    update_rows(tile, source);
  else
    update_singles<WholeBlock>(tile, count, source);
}

// A whole tile whose rows come through a ring. Of a layer that is not finite they come too, and are dropped.
template <TileUpdate T, LayerSource<typename T::Coefficients> Source>
__device__ __forceinline__ void update_streamed(const T& tile, const RowRing& ring, int stage_rows, const Source& source) {
  const LayerConstants<typename T::Coefficients> layer = source.wait();
  source.begin();
  source.go_on();
#pragma unroll 1
  for (int first = 0; first < kRows; first += kBulkRowsInFlight) {
    if (first % stage_rows == 0) ring.begin();
    Quads rows[kBulkRowsInFlight];
    const auto element = [&](int row) {
      return (first + row) * kAccumulators + static_cast<int>(threadIdx.x) * kThreadElements;
    };
#pragma unroll
    for (int row = 0; row < kBulkRowsInFlight; ++row) tile.load_four(element(row), rows[row]);
    if ((first + kBulkRowsInFlight) % stage_rows == 0) ring.end();
    if (!layer.is_finite) continue;
#pragma unroll
    for (int row = 0; row < kBulkRowsInFlight; ++row) {
      apply_four(tile, layer.coefficients, rows[row]);
      tile.store_four(element(row), rows[row], layer.coefficients);
    }
  }
}

// ---- Weights and moments: what NovoGrad and SGD have in common ----

// Rule is the formula for an element's moment and weight; Weights, Gradients and Moments say how each is read and
// written.
template <class Rule, class Weights, Elements Gradients, class M, class Moments, Holder Held>
struct WeightsAndMoments {
  using Coefficients = typename Rule::Coefficients;
  static constexpr int kRowsAtOnce = Moments::kAreRandom || cuda::std::is_same_v<Weights, SplitElements>
                                         ? Held::kMostRandomRowsInFlight
                                         : Held::kMostRowsInFlight;
  static constexpr int kSinglesAtOnce = Moments::kAreRandom   ? kRandomSinglesInFlight
                                        : Weights::kMayBeTwo ? kSplitSinglesInFlight
                                                             : kSinglesInFlight;
  // Only where there are registers left for it.
  static constexpr bool kAsksEarly = !Held::kHoldsWeights && !cuda::std::is_same_v<Weights, SplitElements> &&
                                     !Moments::kAreRandom;

  Rule rule;
  Weights weights;
  Gradients grads;
  M* moments;  // null: SGD without momentum
  Moments rounding;
  bool is_aligned_all;

  __device__ __forceinline__ bool aligned() const { return is_aligned_all; }
  __device__ __forceinline__ void load_four(int i, Quads& quads) const {
    quads.m = moments ? rounding.load_four(moments, i) : FloatQuad{};
    quads.w = weights.load_four(i, false);
    quads.g = grads.load_four(i, false);
  }
  __device__ __forceinline__ void load_one(int i, Singles& one) const {
    one.m = moments ? load(moments[i]) : 0.0f;
    one.w = weights.load_one(i);
    one.g = grads.load_one(i);
  }
  __device__ __forceinline__ void apply(const Coefficients& layer, Singles& one) const {
    rule(layer, one.g, one.m, one.w);
  }
  __device__ __forceinline__ void store_four(int i, const Quads& quads, const Coefficients& layer) const {
    if (moments) rounding.store_four(moments, i, quads.m, layer.step);
    weights.store_four(i, quads.w);
  }
  __device__ __forceinline__ void store_one(int i, const Singles& one, const Coefficients& layer) const {
    if (moments) rounding.store_one(moments, i, one.m, layer.step);
    weights.store_one(i, one.w);
  }
};

// What of a whole tile can be streamed. with_weights: they do not wait beside the gradients.
template <class W, class M>
__device__ __forceinline__ StreamedRows<W, M> streamed_rows(const DevicePlan& plan, const StepBuffers& buffers,
                                                            const Tile& tile, bool with_weights) {
  const void* const extra = extra_address(plan, tile, buffers.weights_extra);
  if ((kMayBeSplit<W> && extra) || !is_extra_aligned(extra) || (kMayBeRandom<M> && buffers.stochastic_moment)) return {};
  StreamedRows<W, M> rows;
  if (with_weights) rows.weights = tile_address<const W>(plan, tile, buffers.weights);
  if (buffers.first_moment) rows.moments = tile_address<const M>(plan, tile, buffers.first_moment);
  return rows.can_be_fetched() ? rows : StreamedRows<W, M>{};
}

// Every decision that holds for the whole tile is taken here: a branch between the loads of several rows would keep the
// compiler from issuing them together.
template <class W, class G, class M, class Rule, Holder Held, class Source>
__device__ __forceinline__ void update_weights(const DevicePlan& plan, const StepBuffers& buffers, const Tile& tile,
                                               const Rule& rule, const Held& held, const Source& source) {
  W* const weights = tile_address<W>(plan, tile, buffers.weights);
  const G* const grads = tile_address<const G>(plan, tile, buffers.grads);
  M* const moments = buffers.first_moment ? tile_address<M>(plan, tile, buffers.first_moment) : nullptr;
  void* const extra = extra_address(plan, tile, buffers.weights_extra);
  const bool aligned = is_aligned(weights) && is_aligned(grads) && is_aligned(moments) && is_extra_aligned(extra);
  if constexpr (requires { held.ring; }) {
    if (held.is_streamed) {
      const StreamedWeights<W, M> of_weights{{weights, held.weights, extra, plan.extra_dtype}, held.ring, !held.weights};
      const StreamedMoments<W, M> of_moments{{}, held.ring};
      const WeightsAndMoments<Rule, StreamedWeights<W, M>, HeldElements<G>, M, StreamedMoments<W, M>, Held> update{
          rule, of_weights, {grads, held.grads}, moments, of_moments, aligned};
      return update_streamed(update, held.ring, kStageRows<W, M>, source);
    }
  }
  const auto with_all = [&](const auto& of_weights, const auto& of_grads, const auto& rounding) {
    const WeightsAndMoments<Rule, cuda::std::remove_cvref_t<decltype(of_weights)>,
                            cuda::std::remove_cvref_t<decltype(of_grads)>, M,
                            cuda::std::remove_cvref_t<decltype(rounding)>, Held>
        update{rule, of_weights, of_grads, moments, rounding, aligned && rounding.aligned()};
    update_tile(update, tile.count, source);
  };
  const auto with_weights = [&](const auto& of_grads, const auto& rounding) {
    if constexpr (kMayBeSplit<W>)
      if (extra) return with_all(SplitElements{weights, static_cast<remainder16*>(extra)}, of_grads, rounding);
    const W* held_weights = nullptr;
    if constexpr (Held::kHoldsWeights) held_weights = held.weights;
    with_all(WholeWeights<W>{weights, held_weights, extra, plan.extra_dtype}, of_grads, rounding);
  };
  const auto with_grads = [&](const auto& rounding) {
    if constexpr (Held::kHolds)
      with_weights(HeldElements<G>{grads, held.grads}, rounding);
    else
      with_weights(StoredElements<G>{grads}, rounding);
  };
  if constexpr (kMayBeRandom<M>)
    if (buffers.stochastic_moment)
      return with_grads(RandomMoments{buffers.seed, tile.layer, plan.options[tile.layer].begin + tile.first()});
  with_grads(NearestMoments<M>());
}

// The update of an optimizer that changes weights: between them the rule for an element alone differs.
template <class Rule, class W, class G, class M>
struct WeightsUpdate {
  using Step = typename Rule::Step;
  using Coefficients = typename Rule::Coefficients;

  template <Holder Held, class Source>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 const Held& held, const Source& source) {
    update_weights<W, G, M>(plan, step.buffers, tile, Rule::of(step), held, source);
  }
  static __device__ __forceinline__ StreamedRows<W, M> streamed(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                                bool with_weights) {
    return streamed_rows<W, M>(plan, step.buffers, tile, with_weights);
  }
};

}  // namespace layerwise
