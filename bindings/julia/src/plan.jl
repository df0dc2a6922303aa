# The plan: made once, used for every step.

const LAYOUTS = (packed = LAYERWISE_LAYOUT_PACKED, scattered = LAYERWISE_LAYOUT_SCATTERED)
const ISAS = (auto = LAYERWISE_ISA_AUTO, baseline = LAYERWISE_ISA_BASELINE, avx2 = LAYERWISE_ISA_AVX2,
              avx512 = LAYERWISE_ISA_AVX512, neon = LAYERWISE_ISA_NEON)
const QUERIES = (layers = LAYERWISE_QUERY_LAYERS, elements = LAYERWISE_QUERY_ELEMENTS, tiles = LAYERWISE_QUERY_TILES,
                 extent = LAYERWISE_QUERY_EXTENT, device = LAYERWISE_QUERY_DEVICE,
                 threads = LAYERWISE_QUERY_THREADS, instruction_set = LAYERWISE_QUERY_ISA,
                 workspace = LAYERWISE_QUERY_WORKSPACE, fingerprint = LAYERWISE_QUERY_FINGERPRINT,
                 global_fingerprint = LAYERWISE_QUERY_GLOBAL_FINGERPRINT,
                 path = LAYERWISE_QUERY_PATH, held_grads = LAYERWISE_QUERY_HELD_GRADS,
                 held_weights = LAYERWISE_QUERY_HELD_WEIGHTS, experimental = LAYERWISE_QUERY_EXPERIMENTAL)
const PATHS = (auto = Int32(0), two_pass = LAYERWISE_PATH_TWO_PASS, one_pass = LAYERWISE_PATH_ONE_PASS)

function selected(table, name, what)
    haskey(table, name) && return table[name]
    return refuse(LAYERWISE_ERROR_UNKNOWN_FLAG, "$what is $(repr(name)); it must be one of $(join(keys(table), ", "))")
end

"""
    Plan(sizes; offsets, device, layout, weights, grads, first_moment, second_moment, weights_extra, threads,
         instruction_set, path, multiprocessors, experimental)

The layout of a model's layers, their element types and where they run. `sizes` and `offsets` count elements, from 0;
without offsets one layer follows the other, and a buffer has exactly their elements. `device` is `-1` for the CPU or a
CUDA ordinal; `layout` is `:packed` or `:scattered`; `weights`, `grads`, `first_moment`, `second_moment` and
`weights_extra` are element types, `nothing` for no low-precision copy. On CUDA `path` says how a step runs, `:auto`,
`:two_pass` or `:one_pass`; a step launches no more blocks than `multiprocessors` hold, 0 for all; `experimental` is a sum
of the header's flags for ways of running a step that no GPU has yet shown to be right. One task at a time may use a plan.
On CUDA keep it until its steps have finished.
"""
mutable struct Plan
    handle::Ptr{Cvoid}
    device::Int32
    scattered::Bool
    has_offsets::Bool
    extent::Int
    ends::Vector{Int}
    types::NamedTuple

    function Plan(sizes; offsets = nothing, device = -1, layout = :packed, weights = Float32, grads = Float32,
                  first_moment = Float32, second_moment = Float32, weights_extra = nothing, threads = 0,
                  instruction_set = :auto, path = :auto, multiprocessors = 0, experimental = 0)
        types = (; weights, grads, first_moment, second_moment, weights_extra)
        layer_sizes = collect(Int64, sizes)
        layer_offsets = offsets === nothing ? nothing : collect(Int64, offsets)
        options = plan_options(types, device, layout, threads, instruction_set, path, multiprocessors, experimental)
        handle = create(options, layer_sizes, layer_offsets)
        scattered = layout === :scattered
        starts = layer_offsets !== nothing ? layer_offsets :
                 scattered ? zero(layer_sizes) : cumsum(layer_sizes) .- layer_sizes
        plan = new(handle, device, scattered, layer_offsets !== nothing, 0, starts .+ layer_sizes, types)
        finalizer(destroy, plan)
        plan.extent = query(plan, :extent)
        return plan
    end
end

function plan_options(types, device, layout, threads, instruction_set, path, multiprocessors, experimental)
    options = PlanOptions()
    check(layerwise_plan_options_init(options, sizeof(PlanOptions)))
    options.device = device
    options.layout = selected(LAYOUTS, layout, "layout")
    options.weights_dtype = dtype(types.weights)
    options.grads_dtype = dtype(types.grads)
    options.first_moment_dtype = dtype(types.first_moment)
    options.second_moment_dtype = dtype(types.second_moment)
    options.weights_extra_dtype = types.weights_extra === nothing ? LAYERWISE_DTYPE_NONE : dtype(types.weights_extra)
    options.threads = threads
    options.isa_ = selected(ISAS, instruction_set, "instruction_set")
    options.path = selected(PATHS, path, "path")
    options.multiprocessors = multiprocessors
    options.experimental = experimental
    return options
end

function create(options, sizes, offsets)
    offsets === nothing || length(offsets) == length(sizes) ||
        refuse(LAYERWISE_ERROR_INVALID_VALUE, "offsets has $(length(offsets)) values; sizes has $(length(sizes))")
    handle = Ref{Ptr{Cvoid}}(C_NULL)
    GC.@preserve sizes offsets begin
        options.layer_count = length(sizes)
        options.sizes = pointer(sizes)
        options.offsets = offsets === nothing ? C_NULL : pointer(offsets)
        check(layerwise_plan_create(options, handle))
    end
    return handle[]
end

function destroy(plan::Plan)
    layerwise_plan_destroy(plan.handle)
    plan.handle = C_NULL
    return nothing
end

"Reads one property of a plan: `:layers`, `:elements`, `:tiles`, `:extent`, `:device`, `:threads` and so on."
function query(plan::Plan, name::Symbol)
    value = Ref{Int64}(0)
    GC.@preserve plan check(layerwise_plan_query(plan.handle, selected(QUERIES, name, "query"), value))
    return value[]
end

"Makes a plan usable again after a step that failed on its way. Waits for the device."
function reset!(plan::Plan)
    GC.@preserve plan check(layerwise_plan_reset(plan.handle))
    return plan
end

"""
    set_layers!(plan; lr_mult, wd_mult, skip_larc)

Sets what differs from layer to layer, one value a layer, replacing what was set before.
"""
function set_layers!(plan::Plan; lr_mult = nothing, wd_mult = nothing, skip_larc = nothing)
    values = (lr_mult = converted(Float64, lr_mult), wd_mult = converted(Float64, wd_mult),
              skip_larc = converted(UInt8, skip_larc))
    options = LayerOptions()
    check(layerwise_layer_options_init(options, sizeof(LayerOptions)))
    GC.@preserve plan values begin
        point_at!(options, plan, values)
        check(layerwise_plan_set_layers(plan.handle, options))
    end
    return plan
end

converted(::Type, ::Nothing) = nothing
converted(::Type{T}, values) where {T} = collect(T, values)

# Lists of one value a layer, which the caller preserves.
function point_at!(options, plan, lists)
    for (name, list) in pairs(lists)
        list === nothing && continue
        length(list) == length(plan.ends) ||
            refuse(LAYERWISE_ERROR_INVALID_VALUE, "$name has $(length(list)) values; it must have one a layer")
        setfield!(options, name, pointer(list))
    end
    return options
end
