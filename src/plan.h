// A plan: a checked description and the backend built from it.
#pragma once

#include "backend.h"

struct layerwise_plan;

namespace layerwise {

// The plans there are, so that a stray or destroyed pointer is told from a plan without looking behind it. Without a
// lock, since a process may fork at any moment.
class LivePlans {
 public:
  static void add(const layerwise_plan* plan);
  static void remove(const layerwise_plan* plan);
  static bool contains(const layerwise_plan* plan);
};

}  // namespace layerwise

struct layerwise_plan {
  explicit layerwise_plan(layerwise::PlanDescription description);
  ~layerwise_plan();
  layerwise_plan(const layerwise_plan&) = delete;
  layerwise_plan& operator=(const layerwise_plan&) = delete;

  // Runs a step's body; a body that throws leaves the plan failed until reset.
  template <class Body>
  void run(Body&& body) {
    failed = true;
    body();
    failed = false;
  }
  void reset();
  int64_t query(int32_t key) const;
  void set_layers(const std::vector<layerwise::LayerOptions>& given);
  void set_shard(std::vector<layerwise::LayerPiece> pieces);

  bool failed = false;
  const uint64_t process = layerwise::forks();
  layerwise::PlanDescription description;
  std::vector<layerwise::LayerOptions> layers;
  std::unique_ptr<layerwise::Backend> backend;
};
