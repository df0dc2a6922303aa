# Every function of layerwise.h, name for name. A test holds the signatures against the library's description of its ABI.

function layerwise_plan_options_init(options, struct_size)
    address = symbol(:layerwise_plan_options_init)
    @ccall $address(options::Ref{PlanOptions}, struct_size::Int64)::Int32
end

function layerwise_plan_workspace_size(options, bytes)
    address = symbol(:layerwise_plan_workspace_size)
    @ccall $address(options::Ref{PlanOptions}, bytes::Ref{Int64})::Int32
end

function layerwise_plan_create(options, plan)
    address = symbol(:layerwise_plan_create)
    @ccall $address(options::Ref{PlanOptions}, plan::Ref{Ptr{Cvoid}})::Int32
end

function layerwise_plan_destroy(plan)
    address = symbol(:layerwise_plan_destroy)
    @ccall $address(plan::Ptr{Cvoid})::Int32
end

function layerwise_plan_reset(plan)
    address = symbol(:layerwise_plan_reset)
    @ccall $address(plan::Ptr{Cvoid})::Int32
end

function layerwise_plan_query(plan, key, value)
    address = symbol(:layerwise_plan_query)
    @ccall $address(plan::Ptr{Cvoid}, key::Int32, value::Ref{Int64})::Int32
end

function layerwise_layer_options_init(options, struct_size)
    address = symbol(:layerwise_layer_options_init)
    @ccall $address(options::Ref{LayerOptions}, struct_size::Int64)::Int32
end

function layerwise_plan_set_layers(plan, options)
    address = symbol(:layerwise_plan_set_layers)
    @ccall $address(plan::Ptr{Cvoid}, options::Ref{LayerOptions})::Int32
end

function layerwise_novograd_options_init(options, struct_size)
    address = symbol(:layerwise_novograd_options_init)
    @ccall $address(options::Ref{NovogradOptions}, struct_size::Int64)::Int32
end

function novograd_step(plan, weights, grads, first_moment, second_moment, max_second_moment, weights_extra,
                       layer_mask, layer_stats, options, stream)
    address = symbol(:novograd_step)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, options::Ref{NovogradOptions},
                    stream::Ptr{Cvoid})::Int32
end

function layerwise_larc_options_init(options, struct_size)
    address = symbol(:layerwise_larc_options_init)
    @ccall $address(options::Ref{LarcOptions}, struct_size::Int64)::Int32
end

function larc_scale(plan, weights, grads, layer_mask, layer_stats, options, stream)
    address = symbol(:larc_scale)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, layer_mask::Ptr{UInt8},
                    layer_stats::Ptr{Float64}, options::Ref{LarcOptions}, stream::Ptr{Cvoid})::Int32
end

function layerwise_sgd_options_init(options, struct_size)
    address = symbol(:layerwise_sgd_options_init)
    @ccall $address(options::Ref{SgdOptions}, struct_size::Int64)::Int32
end

function larc_sgd_step(plan, weights, grads, momentum, weights_extra, layer_mask, layer_stats, larc, sgd, stream)
    address = symbol(:larc_sgd_step)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, momentum::Ptr{Cvoid},
                    weights_extra::Ptr{Cvoid}, layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64},
                    larc::Ref{LarcOptions}, sgd::Ref{SgdOptions}, stream::Ptr{Cvoid})::Int32
end

function layerwise_larc_novograd_step(plan, weights, grads, first_moment, second_moment, max_second_moment,
                                      weights_extra, layer_mask, layer_stats, larc, options, stream)
    address = symbol(:layerwise_larc_novograd_step)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, larc::Ref{LarcOptions},
                    options::Ref{NovogradOptions}, stream::Ptr{Cvoid})::Int32
end

function layerwise_partial_norms(plan, weights, weights_extra, grads, layer_mask, grad_sums, weight_sums, sums_kind,
                                 norm, stream)
    address = symbol(:layerwise_partial_norms)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, weights_extra::Ptr{Cvoid}, grads::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, grad_sums::Ptr{Float64}, weight_sums::Ptr{Float64}, sums_kind::Int32,
                    norm::Int32, stream::Ptr{Cvoid})::Int32
end

function layerwise_novograd_apply(plan, weights, grads, first_moment, second_moment, max_second_moment, weights_extra,
                                  layer_mask, layer_stats, grad_sums, sums_kind, options, stream)
    address = symbol(:layerwise_novograd_apply)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, first_moment::Ptr{Cvoid},
                    second_moment::Ptr{Cvoid}, max_second_moment::Ptr{Cvoid}, weights_extra::Ptr{Cvoid},
                    layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64}, grad_sums::Ptr{Float64}, sums_kind::Int32,
                    options::Ref{NovogradOptions}, stream::Ptr{Cvoid})::Int32
end

function layerwise_larc_apply(plan, weights, grads, momentum, weights_extra, layer_mask, layer_stats, grad_sums,
                              weight_sums, sums_kind, larc, sgd, stream)
    address = symbol(:layerwise_larc_apply)
    @ccall $address(plan::Ptr{Cvoid}, weights::Ptr{Cvoid}, grads::Ptr{Cvoid}, momentum::Ptr{Cvoid},
                    weights_extra::Ptr{Cvoid}, layer_mask::Ptr{UInt8}, layer_stats::Ptr{Float64},
                    grad_sums::Ptr{Float64}, weight_sums::Ptr{Float64}, sums_kind::Int32, larc::Ref{LarcOptions},
                    sgd::Ref{SgdOptions}, stream::Ptr{Cvoid})::Int32
end

function layerwise_version()
    address = symbol(:layerwise_version)
    @ccall $address()::Int32
end

function layerwise_numerics_version()
    address = symbol(:layerwise_numerics_version)
    @ccall $address()::Int32
end

function layerwise_build_info()
    address = symbol(:layerwise_build_info)
    @ccall $address()::Cstring
end

function layerwise_abi_description()
    address = symbol(:layerwise_abi_description)
    @ccall $address()::Cstring
end

function layerwise_status_name(status)
    address = symbol(:layerwise_status_name)
    @ccall $address(status::Int32)::Cstring
end

function layerwise_last_error()
    address = symbol(:layerwise_last_error)
    @ccall $address()::Cstring
end
