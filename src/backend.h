// What a plan needs from the machine it runs on. Arguments arrive checked; a backend throws an Error when it fails.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "numerics/step.h"
#include "numerics/summation.h"

namespace layerwise {

struct Layout {
  std::vector<LayerExtent> layers;
  int64_t elements = 0, tiles = 0;
  int64_t extent = 0;  // elements a packed buffer must hold
  bool scattered = false;
};

// What a shard's piece of a layer is a piece of.
struct LayerPiece {
  int64_t whole;  // elements of the layer
  int64_t begin;  // of the piece in it; -1: it is not contiguous
  bool counted;
};

struct PlanDescription {
  Layout layout;
  bool is_shard = false;
  std::vector<LayerPiece> pieces;  // of a shard
  int64_t whole_elements = 0;      // in all layers, wherever they are
  Dtypes dtypes{};
  int32_t device = 0, threads = 0, isa = 0, path = 0;
  void* workspace = nullptr;
  int64_t workspace_bytes = 0;
  int64_t multiprocessors = 0;  // 0: all
  int64_t experimental = 0;     // LAYERWISE_EXPERIMENTAL_ flags
};

// How a backend runs, for layerwise_plan_query.
struct BackendFacts {
  int64_t threads, isa, workspace_bytes, path;
  int64_t held_grads, held_weights;  // elements of which a one-pass step reads them once
  int64_t experimental;              // of the flags that the plan was given, those it uses
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual void set_layers(const std::vector<LayerOptions>& layers) = 0;
  virtual void reset() = 0;
  virtual void novograd(const NovogradStep& step, void* stream) = 0;
  virtual void larc(const LarcStep& step, void* stream) = 0;
  virtual void norms(const PartialNorms& norms, void* stream) = 0;
  virtual BackendFacts facts() const = 0;
};

// Bytes of device scratch memory a plan needs; both refuse what make_ would refuse without touching a device.
int64_t cpu_workspace_bytes(const PlanDescription& plan);
int64_t cuda_workspace_bytes(const PlanDescription& plan);
std::unique_ptr<Backend> make_cpu_backend(const PlanDescription& plan);
std::unique_ptr<Backend> make_cuda_backend(const PlanDescription& plan);

// How many forks lie between this process and the one that loaded the library.
uint64_t forks();

// "key: value" lines for layerwise_build_info.
std::string cpu_info();
std::string cuda_info();

}  // namespace layerwise
