"""
Layer-wise optimizers, NovoGrad and LARC, over one packed buffer: the C library's calls on Julia arrays.

    plan = Plan([2, 3])
    novograd_step!(plan, weights, grads, first_moment, second_moment; lr = 0.01)

The C header, layerwise.h, is the reference: every option has its name and its default.
"""
module Layerwise

using Libdl

export Plan, LayerwiseError, RanksDisagreeError, STATISTICS
export novograd_step!, larc_scale!, larc_sgd_step!, partial_norms!, set_layers!, reset!, query, pointer_table
export set_shard!, shard_claim, shard_verify
export version, numerics_version, build_info, abi_description

include("abi.jl")
include("library.jl")
include("calls.jl")
include("memory.jl")
include("plan.jl")
include("shard.jl")
include("steps.jl")

end
