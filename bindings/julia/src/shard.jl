# Plans of ranks that hold pieces of layers.

"""
    set_shard!(plan, layer_sizes; layer_begins, counted)

Makes the plan one of a shard: its layers are this rank's pieces, of size 0 where it has none. Each list has one value
a layer. `layer_sizes` are the elements of the whole layers; `layer_begins` counts, from 0, the elements before the
piece in its layer, or is -1, on every rank, for a layer whose pieces are not contiguous (the default); `counted` is
false for a replica of elements that another rank counts. Replaces what was set before.

Whole steps are refused from then on. A step is taken in halves: [`partial_norms!`](@ref), a sum of its results over
the ranks (the maximum, with `norm = :inf`), and the step with `grad_sums` and, with LARC, `weight_sums`. All ranks must
have the same masks, options and second moments.
"""
function set_shard!(plan::Plan, layer_sizes; layer_begins = nothing, counted = nothing)
    values = (layer_sizes = converted(Int64, layer_sizes), layer_begins = converted(Int64, layer_begins),
              counted = converted(UInt8, counted))
    options = ShardOptions()
    check(layerwise_shard_options_init(options, sizeof(ShardOptions)))
    GC.@preserve plan values begin
        point_at!(options, plan, values)
        check(layerwise_plan_set_shard(plan.handle, options))
    end
    return plan
end

"""
    shard_claim(plan, agreed = UInt8[]; layers = true)

What this rank claims of its shard, before the first step, as a `Vector{Float64}`: sum the claims over the ranks and
give the sum to [`shard_verify`](@ref). `agreed` are the bytes of what must be the same on every rank beside layers and
element types, for example `reinterpret(UInt8, [lr, beta1])`. Without `layers` the claim has as many numbers on every
rank, and leaves out whether the pieces make up whole layers: exchange it first if ranks may differ in their number of
layers.
"""
function shard_claim(plan::Plan, agreed = UInt8[]; layers = true)
    bytes = collect(UInt8, agreed)
    claim = zeros(Float64, LAYERWISE_CLAIM_HEAD + (layers ? 2 * length(plan.ends) : 0))
    start = isempty(bytes) ? C_NULL : Ptr{Cvoid}(pointer(bytes))
    GC.@preserve plan bytes claim begin
        check(layerwise_shard_claim(plan.handle, start, length(bytes), pointer(claim), length(claim)))
    end
    return claim
end

"""
    shard_verify(plan, claim, total)

Verifies that all ranks agree and that every element of every layer is counted once; `claim` is this rank's own,
`total` the sum of all ranks'. Throws a [`RanksDisagreeError`](@ref), on every rank, where that is not so.
"""
function shard_verify(plan::Plan, claim, total)
    length(claim) == length(total) ||
        refuse(LAYERWISE_ERROR_INVALID_VALUE,
               "total has $(length(total)) numbers; it must have the claim's $(length(claim))")
    own, summed = collect(Float64, claim), collect(Float64, total)
    GC.@preserve plan own summed begin
        check(layerwise_shard_verify(plan.handle, pointer(own), pointer(summed), length(own)))
    end
    return nothing
end
