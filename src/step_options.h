// A step's hyper-parameters: each option checked by itself and against the others, then as the numerics take it.
#pragma once

#include "layerwise.h"
#include "numerics/step.h"

namespace layerwise {

void check_novograd(const layerwise_novograd_options& options);
void check_larc(const layerwise_larc_options& options);
void check_larc_before_novograd(const layerwise_larc_options& larc, const layerwise_novograd_options& novograd);
void check_sgd(const layerwise_sgd_options& options, const void* momentum_buffer, int32_t rounding);

NovogradHyper novograd_hyper(const layerwise_novograd_options& options, Dtype second_moment_dtype);
LarcHyper larc_hyper(const layerwise_larc_options& options);
SgdHyper sgd_hyper(const layerwise_sgd_options& options);

}  // namespace layerwise
