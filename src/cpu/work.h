// The interface between the backend and the code that is compiled for each instruction set. That code processes whole
// layers, or ranges of tiles of a large layer; the backend decides which thread does what, and when.
#pragma once

#include "numerics/step.h"

namespace layerwise {

// A plan's layers.
struct LayerTable {
  const LayerExtent* extents;
  const LayerOptions* options;
  Dtypes dtypes;
  bool scattered;
};

// Room for the sums of one layer, one per tile.
struct LayerSums {
  double* grads;
  double* weights;
};

struct StagedTile;

// The scratch memory of one thread. 128 bytes, because some processors fetch cache lines in pairs: no false sharing.
struct alignas(128) Scratch {
  LayerSums sums;
  StagedTile* stage;
  int64_t nonfinite_layers;
};

class LayerWork {
 public:
  virtual ~LayerWork();

  // Steps layers [begin, end), one after the other.
  virtual void step_layers(int64_t begin, int64_t end, Scratch& scratch) const = 0;

  // For a layer that several threads share: each sums its tiles [begin, end), one of them finishes the norms, and then
  // each updates its tiles.
  virtual bool takes_part(int64_t layer) const = 0;
  virtual void sum_tiles(int64_t layer, int64_t begin, int64_t end, LayerSums sums, Scratch& scratch) const = 0;
  virtual void finish_norms(int64_t layer, LayerSums sums, Scratch& scratch) = 0;
  virtual void update_tiles(int64_t layer, int64_t begin, int64_t end, Scratch& scratch) const = 0;
};

class LayerWorkers {
 public:
  virtual void run(LayerWork& work) = 0;

 protected:
  ~LayerWorkers() = default;
};

// The steps, compiled for one instruction set.
struct StepFunctions {
  template <class Step>
  using Function = void (*)(const LayerTable& layers, const Step& step, LayerWorkers& workers);

  const char* name;
  Function<NovogradStep> novograd;
  Function<LarcStep> larc;
  Function<PartialNorms> norms;
};

const StepFunctions& step_functions_baseline();
const StepFunctions& step_functions_avx2();
const StepFunctions& step_functions_avx512();
const StepFunctions& step_functions_neon();

}  // namespace layerwise
