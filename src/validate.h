// Checks a caller's arguments and turns them into what the rest of the library works with. Everything is checked here,
// before anything is written.
#pragma once

#include "layerwise.h"
#include "plan.h"

namespace layerwise {

// A struct of the ABI as the caller gave it, its struct_size and unknown bytes checked.
template <class Options>
Options received(const Options* options, const char* name);

// Fills a struct of the ABI with its defaults.
template <class Options>
void fill_defaults(Options* options, int64_t struct_size);

layerwise_plan& checked(layerwise_plan* plan);
const layerwise_plan& checked(const layerwise_plan* plan);
void check_not_null(const void* argument, const char* name);
// A selector, flag or reserved field.
void check_selector(int64_t value, const char* name, int64_t least, int64_t most);

PlanDescription checked_plan(const layerwise_plan_options* options);
std::vector<LayerOptions> checked_layers(const layerwise_plan& plan, const layerwise_layer_options* options);
std::vector<LayerPiece> checked_shard(const layerwise_plan& plan, const layerwise_shard_options* options);
const PlanDescription& checked_claim(const layerwise_plan* plan, int64_t count);

// The buffers of a step call, as the caller gave them; null where the call has no such argument.
struct StepArguments {
  void* weights;
  const void* grads;
  void* first_moment;
  void* second_moment;
  void* max_second_moment;
  void* weights_extra;
  const uint8_t* layer_mask;
  double* layer_stats;
};

// The sums of a caller who has them already.
struct SumsArguments {
  const double* grads;
  const double* weights;
  int32_t kind;
};

// sums: null where the step itself sums.
NovogradStep checked_novograd(const layerwise_plan& plan, const StepArguments& arguments,
                              const layerwise_novograd_options* options, const SumsArguments* sums = nullptr,
                              bool after_larc = false);
NovogradStep checked_larc_novograd(const layerwise_plan& plan, const StepArguments& arguments,
                                   const layerwise_larc_options* larc, const layerwise_novograd_options* options,
                                   const SumsArguments* sums = nullptr);
LarcStep checked_larc_scale(const layerwise_plan& plan, const StepArguments& arguments,
                            const layerwise_larc_options* options, const SumsArguments* sums = nullptr);
LarcStep checked_larc_sgd(const layerwise_plan& plan, const StepArguments& arguments,
                          const layerwise_larc_options* larc, const layerwise_sgd_options* sgd,
                          const SumsArguments* sums = nullptr);
PartialNorms checked_norms(const layerwise_plan& plan, const StepArguments& arguments, double* grad_sums,
                           double* weight_sums, int32_t sums_kind, int32_t norm);

}  // namespace layerwise
