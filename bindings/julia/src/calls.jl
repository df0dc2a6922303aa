# Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
# Every function of layerwise.h, name for name.

# Fills options with the defaults: packed, CPU, float32, all cores, no layers.
function layerwise_plan_options_init(options, struct_size)
    address = symbol(:layerwise_plan_options_init)
    @ccall $address(options::Ref{PlanOptions}, struct_size::Int64)::Int32
end

# Computes how many bytes of device scratch memory a plan with these options needs.
function layerwise_plan_workspace_size(options, bytes)
    address = symbol(:layerwise_plan_workspace_size)
    @ccall $address(options::Ref{PlanOptions}, bytes::Ref{Int64})::Int32
end

# Creates a plan.
function layerwise_plan_create(options, plan)
    address = symbol(:layerwise_plan_create)
    @ccall $address(options::Ref{PlanOptions}, plan::Ref{Ptr{Cvoid}})::Int32
end

# Frees a plan and all it owns. Does not wait: the caller must ensure that the plan's steps have finished.
function layerwise_plan_destroy(plan)
    address = symbol(:layerwise_plan_destroy)
    @ccall $address(plan::Ptr{Cvoid})::Int32
end

# Makes a plan usable again after a step that failed midway or was killed: waits for the device, then clears the plan's
# scratch memory. Weights and moments are as that step left them: restore them from a checkpoint.
function layerwise_plan_reset(plan)
    address = symbol(:layerwise_plan_reset)
    @ccall $address(plan::Ptr{Cvoid})::Int32
end

# Reads one property of a plan.
function layerwise_plan_query(plan, key, value)
    address = symbol(:layerwise_plan_query)
    @ccall $address(plan::Ptr{Cvoid}, key::Int32, value::Ref{Int64})::Int32
end

# Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init.
function layerwise_layer_options_init(options, struct_size)
    address = symbol(:layerwise_layer_options_init)
    @ccall $address(options::Ref{LayerOptions}, struct_size::Int64)::Int32
end

# Sets the per-layer options, replacing all that were set before.
function layerwise_plan_set_layers(plan, options)
    address = symbol(:layerwise_plan_set_layers)
    @ccall $address(plan::Ptr{Cvoid}, options::Ref{LayerOptions})::Int32
end

# Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init.
function layerwise_shard_options_init(options, struct_size)
    address = symbol(:layerwise_shard_options_init)
    @ccall $address(options::Ref{ShardOptions}, struct_size::Int64)::Int32
end

# Makes a plan a plan for a shard, replacing what was set before. Whole steps are refused from then on, as their norms
# would be those of the pieces.
function layerwise_plan_set_shard(plan, options)
    address = symbol(:layerwise_plan_set_shard)
    @ccall $address(plan::Ptr{Cvoid}, options::Ref{ShardOptions})::Int32
end

# Writes this rank's claim about its plan, to be exchanged before the first step: all-reduce it over the ranks (SUM),
# then call layerwise_shard_verify. All numbers are integers, so that their sums are exact in any order for up to 2^21
# ranks.
function layerwise_shard_claim(plan, agreed, agreed_bytes, claim, count)
    address = symbol(:layerwise_shard_claim)
    @ccall $address(plan::Ptr{Cvoid}, agreed::Ptr{Cvoid}, agreed_bytes::Int64, claim::Ptr{Float64}, count::Int64)::Int32
end

# Verifies the sum of all ranks' claims: every rank agrees, and each element of each layer is counted once.
function layerwise_shard_verify(plan, claim, sum, count)
    address = symbol(:layerwise_shard_verify)
    @ccall $address(plan::Ptr{Cvoid}, claim::Ptr{Float64}, sum::Ptr{Float64}, count::Int64)::Int32
end

# Fills options with the defaults of the paper (arXiv 1905.11286); lr is NaN. As layerwise_plan_options_init.
function layerwise_novograd_options_init(options, struct_size)
    address = symbol(:layerwise_novograd_options_init)
    @ccall $address(options::Ref{NovogradOptions}, struct_size::Int64)::Int32
end

# Applies one NovoGrad step to every layer (Ginsburg et al., arXiv 1905.11286).
function novograd_step(plan, weights, grads, first_moment, second_moment, max_second_moment, weights_extra, layer_mask,
                       layer_stats, options, stream)
    address = symbol(:novograd_step)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, options::Ref{NovogradOptions},
                    stream::Ptr{Cvoid})::Int32
end

# Fills options with the defaults; lr is NaN. As layerwise_plan_options_init.
function layerwise_larc_options_init(options, struct_size)
    address = symbol(:layerwise_larc_options_init)
    @ccall $address(options::Ref{LarcOptions}, struct_size::Int64)::Int32
end

# Scales every layer's gradient by LARC's factor, in place, so that any optimizer can follow (You et al., LARS, arXiv
# 1708.03888; OpenSeq2Seq's and apex's LARC).
function larc_scale(plan, weights, grads, layer_mask, layer_stats, options, stream)
    address = symbol(:larc_scale)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, layer_mask::Ptr{UInt8},
                    layer_stats::Ptr{Float64}, options::Ref{LarcOptions}, stream::Ptr{Cvoid})::Int32
end

# Fills options with the defaults. As layerwise_plan_options_init.
function layerwise_sgd_options_init(options, struct_size)
    address = symbol(:layerwise_sgd_options_init)
    @ccall $address(options::Ref{SgdOptions}, struct_size::Int64)::Int32
end

# Applies LARC and SGD with momentum in one step.
function larc_sgd_step(plan, weights, grads, momentum, weights_extra, layer_mask, layer_stats, larc, sgd, stream)
    address = symbol(:larc_sgd_step)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, momentum::Ptr{Cvoid},
                    weights_extra::Ptr{Cvoid}, layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64},
                    larc::Ref{LarcOptions}, sgd::Ref{SgdOptions}, stream::Ptr{Cvoid})::Int32
end

# Applies LARC and NovoGrad in one step: larc_scale, then novograd_step, as OpenSeq2Seq chains them, except that the
# scaled gradient is neither rounded nor stored.
function layerwise_larc_novograd_step(plan, weights, grads, first_moment, second_moment, max_second_moment,
                                      weights_extra, layer_mask, layer_stats, larc, options, stream)
    address = symbol(:layerwise_larc_novograd_step)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, larc::Ref{LarcOptions},
                    options::Ref{NovogradOptions}, stream::Ptr{Cvoid})::Int32
end

# Computes every layer's sum of squares: what a step does before it updates anything.
function layerwise_partial_norms(plan, weights, weights_extra, grads, layer_mask, grad_sums, weight_sums, sums_kind,
                                 norm, stream)
    address = symbol(:layerwise_partial_norms)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, weights_extra::Ptr{Cvoid}, grads::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, grad_sums::Ptr{Float64}, weight_sums::Ptr{Float64}, sums_kind::Int32,
                    norm::Int32, stream::Ptr{Cvoid})::Int32
end

# Applies one NovoGrad step from norms that the caller provides.
function layerwise_novograd_apply(plan, weights, grads, first_moment, second_moment, max_second_moment, weights_extra,
                                  layer_mask, layer_stats, grad_sums, sums_kind, options, stream)
    address = symbol(:layerwise_novograd_apply)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, grad_sums::Ptr{Float64}, sums_kind::Int32,
                    options::Ref{NovogradOptions}, stream::Ptr{Cvoid})::Int32
end

# Applies LARC, alone or with SGD, from norms that the caller provides.
function layerwise_larc_apply(plan, weights, grads, momentum, weights_extra, layer_mask, layer_stats, grad_sums,
                              weight_sums, sums_kind, larc, sgd, stream)
    address = symbol(:layerwise_larc_apply)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, momentum::Ptr{Cvoid},
                    weights_extra::Ptr{Cvoid}, layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64},
                    grad_sums::Ptr{Float64}, weight_sums::Ptr{Float64}, sums_kind::Int32, larc::Ref{LarcOptions},
                    sgd::Ref{SgdOptions}, stream::Ptr{Cvoid})::Int32
end

# Applies LARC and NovoGrad in one step, from norms that the caller provides.
function layerwise_larc_novograd_apply(plan, weights, grads, first_moment, second_moment, max_second_moment,
                                       weights_extra, layer_mask, layer_stats, grad_sums, weight_sums, sums_kind, larc,
                                       options, stream)
    address = symbol(:layerwise_larc_novograd_apply)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, grad_sums::Ptr{Float64},
                    weight_sums::Ptr{Float64}, sums_kind::Int32, larc::Ref{LarcOptions}, options::Ref{NovogradOptions},
                    stream::Ptr{Cvoid})::Int32
end

# The version as major*10000 + minor*100 + patch. Never fails.
function layerwise_version()
    address = symbol(:layerwise_version)
    @ccall $address()::Int32
end

# The version of the numerics: two libraries that return the same number give the same bits. Never fails.
function layerwise_numerics_version()
    address = symbol(:layerwise_numerics_version)
    @ccall $address()::Int32
end

# A static string with one "key: value" a line: what the library was built with, and what it can run on here. The first
# call asks the CUDA runtime for its devices. Never fails.
function layerwise_build_info()
    address = symbol(:layerwise_build_info)
    @ccall $address()::Cstring
end

# Every constant, struct layout and function of this header as JSON, for authors of bindings, as a static string:
# {"constants": {"LAYERWISE_OK": 0, ...}, "structs": {"layerwise_plan_options": {"size": bytes, "fields": [{"name":
# "struct_size", "offset": 0, "size": 8, "type": "int64"}, ...]}, ...}, "functions": {"novograd_step": {"returns":
# "int32_t", "arguments": [{"name": "plan", "type": "layerwise_plan *"}, ...]}, ...}}. Never fails.
function layerwise_abi_description()
    address = symbol(:layerwise_abi_description)
    @ccall $address()::Cstring
end

# The name of a status, such as "LAYERWISE_ERROR_LAYER_OVERLAP", as a static string; "unknown status" for others.
function layerwise_status_name(status)
    address = symbol(:layerwise_status_name)
    @ccall $address(status::Int32)::Cstring
end

# The message of this thread's last failed call: it names the argument, the value received and the rule. Valid until
# this thread's next failed call; empty if no call has failed.
function layerwise_last_error()
    address = symbol(:layerwise_last_error)
    @ccall $address()::Cstring
end
