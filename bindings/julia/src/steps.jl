# The steps. Keywords that are numbers or names fill the options struct; keywords that are arrays give their addresses.

function fill_options!(options, device, values)
    for (name, value) in values
        hasfield(typeof(options), name) ||
            throw(ArgumentError("unknown option $name; the options are $(join(fieldnames(typeof(options)), ", "))"))
        kind = fieldtype(typeof(options), name)
        if kind <: Ptr
            pointer = check_array(value, name, device, (eltype(kind),), 1, true)
            setfield!(options, name, kind(pointer))
        elseif haskey(SELECTORS, name)
            setfield!(options, name, selected(SELECTORS[name], value, name))
        else
            setfield!(options, name, convert(kind, value))
        end
    end
    return options
end

# A buffer of one value an element: its address, and the table it may point to.
function elements(plan, array, name, type)
    array === nothing && return C_NULL, nothing
    plan.scattered || return check_array(array, name, plan.device, (type,), plan.extent, !plan.has_offsets), array
    layers = length(plan.ends)
    if plan.device != LAYERWISE_DEVICE_CPU
        return check_array(array, "$name (a table of addresses)", plan.device, (UInt64,), layers, true), array
    end
    length(array) == layers ||
        refuse(LAYERWISE_ERROR_INVALID_VALUE, "$name has $(length(array)) arrays; it must have $layers, one a layer")
    for (layer, part) in enumerate(array)
        part === nothing || check_array(part, "$name[$layer]", plan.device, (type,), plan.ends[layer])
    end
    table = pointer_table(array)
    return Ptr{Cvoid}(pointer(table)), table
end

function per_layer(plan, array, name, types, width = 1)
    array === nothing && return C_NULL
    return check_array(array, name, plan.device, types, width * length(plan.ends), true)
end

sums(plan, array, name) = Ptr{Float64}(per_layer(plan, array, name, (Float64,)))
mask(plan, array) = Ptr{UInt8}(per_layer(plan, array, "layer_mask", (UInt8, Bool)))
statistics(plan, array) = Ptr{Float64}(per_layer(plan, array, "layer_stats", (Float64,), LAYERWISE_STAT_COUNT))
stream_of(stream, array) = Ptr{Cvoid}(stream === nothing ? default_stream(array) : stream)

"""
    novograd_step!(plan, weights, grads, first_moment, second_moment; lr, max_second_moment, weights_extra, layer_mask,
                   layer_stats, larc, grad_sums, weight_sums, stream, options...)

Applies one NovoGrad step to every layer (arXiv 1905.11286), in place. Options have the names and defaults of
`layerwise_novograd_options`: `beta1`, `beta2`, `eps`, `weight_decay`, `step`, `norm = :inf`, `amsgrad = true` and so on;
`lr_ptr`, `step_ptr`, `found_inf` and `nonfinite_layers` are arrays of one element on the plan's device. In a scattered
plan on the CPU a buffer is a vector of one array a layer, `nothing` for a layer that is left out. On CUDA the call
returns at once, and runs on the task's stream unless `stream` is given.

`larc`, a named tuple of `eta`, `eps`, `mode`, `zero_norm` and so on, puts LARC before NovoGrad. With `grad_sums` (beside
`larc` with `weight_sums` too) the step takes these sums, of which [`partial_norms!`](@ref) has one a layer.
"""
function novograd_step!(plan::Plan, weights, grads, first_moment, second_moment; max_second_moment = nothing,
                        weights_extra = nothing, layer_mask = nothing, layer_stats = nothing, larc = nothing,
                        grad_sums = nothing, weight_sums = nothing, stream = nothing, options...)
    larc === nothing && weight_sums !== nothing &&
        refuse(LAYERWISE_ERROR_COMBINATION, "weight_sums is given without larc; NovoGrad alone needs grad_sums alone")
    struct_, ahead = NovogradOptions(), LarcOptions()
    check(layerwise_novograd_options_init(struct_, sizeof(NovogradOptions)))
    check(layerwise_larc_options_init(ahead, sizeof(LarcOptions)))
    types = plan.types
    held = (weights, grads, first_moment, second_moment, max_second_moment, weights_extra, layer_mask, layer_stats,
            grad_sums, weight_sums, larc, options)
    GC.@preserve plan held begin
        fill_options!(struct_, plan.device, options)
        larc === nothing || fill_options!(ahead, plan.device, pairs(larc))
        w, weights_table = elements(plan, weights, "weights", types.weights)
        g, grads_table = elements(plan, grads, "grads", types.grads)
        m, moment_table = elements(plan, first_moment, "first_moment", types.first_moment)
        extra, extra_table = elements(plan, weights_extra, "weights_extra", types.weights_extra)
        v = per_layer(plan, second_moment, "second_moment", (types.second_moment,))
        maximum = per_layer(plan, max_second_moment, "max_second_moment", (types.second_moment,))
        given = (plan.handle, w, g, m, v, maximum, extra, mask(plan, layer_mask), statistics(plan, layer_stats))
        of_grads, of_weights = sums(plan, grad_sums, "grad_sums"), sums(plan, weight_sums, "weight_sums")
        kind, on = LAYERWISE_SUMS_LAYERS, stream_of(stream, second_moment)
        has_sums = grad_sums !== nothing || weight_sums !== nothing
        GC.@preserve weights_table grads_table moment_table extra_table begin
            check(larc === nothing ?
                  (has_sums ? layerwise_novograd_apply(given..., of_grads, kind, struct_, on) :
                   novograd_step(given..., struct_, on)) :
                  (has_sums ? layerwise_larc_novograd_apply(given..., of_grads, of_weights, kind, ahead, struct_, on) :
                   layerwise_larc_novograd_step(given..., ahead, struct_, on)))
        end
    end
    return weights
end

"""
    larc_scale!(plan, weights, grads; lr, layer_mask, layer_stats, grad_sums, weight_sums, stream, options...)

Scales every layer's gradient by LARC's factor, in place, so that any optimizer may follow. Options have the names and
defaults of `layerwise_larc_options`: `eta`, `eps`, `mode = :scale`, `zero_norm = :freeze` and so on. `grad_sums` and
`weight_sums`, both or neither, are what [`partial_norms!`](@ref) gives. The other arguments are those of
[`novograd_step!`](@ref).
"""
function larc_scale!(plan::Plan, weights, grads; layer_mask = nothing, layer_stats = nothing, grad_sums = nothing,
                     weight_sums = nothing, stream = nothing, options...)
    struct_ = LarcOptions()
    check(layerwise_larc_options_init(struct_, sizeof(LarcOptions)))
    GC.@preserve plan weights grads layer_mask layer_stats grad_sums weight_sums options begin
        fill_options!(struct_, plan.device, options)
        w, weights_table = elements(plan, weights, "weights", plan.types.weights)
        g, grads_table = elements(plan, grads, "grads", plan.types.grads)
        which, stats, on = mask(plan, layer_mask), statistics(plan, layer_stats), stream_of(stream, grads)
        of_grads, of_weights = sums(plan, grad_sums, "grad_sums"), sums(plan, weight_sums, "weight_sums")
        GC.@preserve weights_table grads_table begin
            check(grad_sums === nothing && weight_sums === nothing ?
                  larc_scale(plan.handle, w, g, which, stats, struct_, on) :
                  layerwise_larc_apply(plan.handle, w, g, C_NULL, C_NULL, which, stats, of_grads, of_weights,
                                       LAYERWISE_SUMS_LAYERS, struct_, Ptr{SgdOptions}(C_NULL), on))
        end
    end
    return grads
end

"""
    larc_sgd_step!(plan, weights, grads, momentum_buffer; lr, momentum, dampening, nesterov, step, weights_extra,
                   layer_mask, layer_stats, grad_sums, weight_sums, stream, options...)

Applies LARC and SGD with momentum in one step, in place. `momentum_buffer` is `nothing` exactly when `momentum` is 0; its
default is 0.9. The other options are those of [`larc_scale!`](@ref).
"""
function larc_sgd_step!(plan::Plan, weights, grads, momentum_buffer; weights_extra = nothing, layer_mask = nothing,
                        layer_stats = nothing, grad_sums = nothing, weight_sums = nothing, stream = nothing, options...)
    larc, sgd = LarcOptions(), SgdOptions()
    check(layerwise_larc_options_init(larc, sizeof(LarcOptions)))
    check(layerwise_sgd_options_init(sgd, sizeof(SgdOptions)))
    of_sgd(pair) = hasfield(SgdOptions, first(pair))
    held = (weights, grads, momentum_buffer, weights_extra, layer_mask, layer_stats, grad_sums, weight_sums, options)
    GC.@preserve plan held begin
        fill_options!(sgd, plan.device, Iterators.filter(of_sgd, options))
        fill_options!(larc, plan.device, Iterators.filter(!of_sgd, options))
        w, weights_table = elements(plan, weights, "weights", plan.types.weights)
        g, grads_table = elements(plan, grads, "grads", plan.types.grads)
        b, momentum_table = elements(plan, momentum_buffer, "momentum_buffer", plan.types.first_moment)
        extra, extra_table = elements(plan, weights_extra, "weights_extra", plan.types.weights_extra)
        given = (plan.handle, w, g, b, extra, mask(plan, layer_mask), statistics(plan, layer_stats))
        of_grads, of_weights = sums(plan, grad_sums, "grad_sums"), sums(plan, weight_sums, "weight_sums")
        kind, on = LAYERWISE_SUMS_LAYERS, stream_of(stream, weights)
        GC.@preserve weights_table grads_table momentum_table extra_table begin
            check(grad_sums === nothing && weight_sums === nothing ? larc_sgd_step(given..., larc, sgd, on) :
                  layerwise_larc_apply(given..., of_grads, of_weights, kind, larc, sgd, on))
        end
    end
    return weights
end

"""
    partial_norms!(plan, grads, grad_sums; weights, weight_sums, weights_extra, layer_mask, norm = :l2, stream)

Sums every layer, the first half of a step: `grad_sums` receives the gradients' squares, or with `norm = :inf` the
largest magnitude, and `weight_sums` the squares of `weights`, for LARC; both are `Float64` arrays of one value a layer.
The sums of layers that are empty, left out or, of a shard, not counted are 0. `weights_extra` sums split weights with their
remainders. Returns `grad_sums`.
"""
function partial_norms!(plan::Plan, grads, grad_sums; weights = nothing, weight_sums = nothing, weights_extra = nothing,
                        layer_mask = nothing, norm = :l2, stream = nothing)
    types, kind = plan.types, selected(SELECTORS.norm, norm, "norm")
    GC.@preserve plan grads grad_sums weights weight_sums weights_extra layer_mask begin
        w, weights_table = elements(plan, weights, "weights", types.weights)
        extra, extra_table = elements(plan, weights_extra, "weights_extra", types.weights_extra)
        g, grads_table = elements(plan, grads, "grads", types.grads)
        GC.@preserve weights_table extra_table grads_table begin
            check(layerwise_partial_norms(plan.handle, w, extra, g, mask(plan, layer_mask),
                                          sums(plan, grad_sums, "grad_sums"), sums(plan, weight_sums, "weight_sums"),
                                          LAYERWISE_SUMS_LAYERS, kind, stream_of(stream, grad_sums)))
        end
    end
    return grad_sums
end
