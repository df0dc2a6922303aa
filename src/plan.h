// A plan: a checked description and the backend built from it.
#pragma once

#include "backend.h"

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

  static constexpr uint64_t kMagic = 0x6c61796572776973;  // tells a plan from a stray or destroyed pointer
  uint64_t magic = kMagic;
  bool failed = false;
  layerwise::PlanDescription description;
  std::unique_ptr<layerwise::Backend> backend;
};
