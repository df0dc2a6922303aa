// What a step does to layers, as the backend's threads call it: to whole layers, or to the tiles of a large one. Files
// compiled for one instruction set make it; which thread does what, and when, is the backend's.
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

// Of one layer, a sum for each tile.
struct LayerSums {
  double* grads;
  double* weights;
};

struct StagedTile;

// One thread's. No two in one cache line, nor in the pair of lines that some processors fetch.
struct alignas(128) Scratch {
  LayerSums sums;
  StagedTile* stage;
  int64_t nonfinite_layers;
};

class LayerWork {
 public:
  virtual ~LayerWork();

  // Layers [begin, end), one after the other.
  virtual void step_layers(int64_t begin, int64_t end, Scratch& scratch) const = 0;

  // A layer that several threads share: each sums tiles [begin, end) of it, one finishes the norms, each updates.
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

// A step, in the code of one instruction set.
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
