# julia --project=bindings/julia bindings/julia/test/runtests.jl, with the library in LAYERWISE_LIBRARY or the system's.
using Layerwise
using Test

include("json.jl")
include("vectors.jl")

@testset "the ABI is the library's" begin
    description = parse_json(abi_description())
    for (name, value) in description["constants"]
        @test getfield(Layerwise, Symbol(name)) == value
    end
    names = Dict("layerwise_plan_options" => Layerwise.PlanOptions, "layerwise_layer_options" => Layerwise.LayerOptions,
                 "layerwise_novograd_options" => Layerwise.NovogradOptions,
                 "layerwise_shard_options" => Layerwise.ShardOptions,
                 "layerwise_larc_options" => Layerwise.LarcOptions, "layerwise_sgd_options" => Layerwise.SgdOptions)
    for (name, there) in description["structs"]
        @test sizeof(names[name]) == there["size"]
        @test [fieldoffset(names[name], i) for i in 1:fieldcount(names[name])] ==
              [field["offset"] for field in there["fields"]]
    end
end

@testset "the README's example" begin
    plan = Plan([2, 3])
    weights, grads = Float32[1, 2, 3, 4, 5], Float32[0.1, 0.2, 0.3, 0.4, 0.5]
    first_moment, second_moment = zeros(Float32, 5), zeros(Float32, 2)
    stats = fill(NaN, length(STATISTICS), 2)
    novograd_step!(plan, weights, grads, first_moment, second_moment; lr = 0.01, layer_stats = stats)
    @test weights ≈ [0.995518, 1.991036, 2.995727, 3.994303, 4.992879] atol = 1e-6
    @test stats[2, 2] ≈ sqrt(0.5) rtol = 1e-6
    @test query(plan, :extent) == 5
end

# TensorFlow Addons, novograd_test.py: two variables of two elements.
@testset "TensorFlow Addons' NovoGrad" begin
    averaging = (grad_averaging = true, average_first_step = false, lr_in_momentum = true)
    for (steps, options, expected) in (
        (1, (;), [0.9552786425, 1.9105572849, 2.94, 3.92]),
        (1, (weight_decay = 0.1,), [0.945278642, 1.8905572849, 2.91, 3.88]),
        (2, averaging, [0.9105572849, 1.8211145698, 2.88, 3.84]))
        plan = Plan([2, 2])
        weights, grads = Float32[1, 2, 3, 4], Float32[0.1, 0.2, 0.3, 0.4]
        first_moment, second_moment = zeros(Float32, 4), zeros(Float32, 2)
        for step in 1:steps
            novograd_step!(plan, weights, grads, first_moment, second_moment; lr = 0.1, beta1 = 0.9, beta2 = 0.999,
                           eps = 1e-8, step, weight_decay = 0, options...)
        end
        @test weights ≈ expected atol = 1e-6
    end
end

@testset "scattered layers, one left out" begin
    plan = Plan([2, 3]; layout = :scattered)
    weights = [Float32[1, 2], Float32[3, 4, 5]]
    second_moment = zeros(Float32, 2)
    novograd_step!(plan, weights, [Float32[0.1, 0.2], nothing], [zeros(Float32, 2), zeros(Float32, 3)], second_moment;
                   lr = 0.01)
    @test weights[1] ≈ [0.995518, 1.991036] atol = 1e-6
    @test weights[2] == [3, 4, 5]
end

@testset "refusals" begin
    plan = Plan([2])
    step!(n; options...) = novograd_step!(plan, zeros(Float32, n), zeros(Float32, 2), zeros(Float32, 2),
                                          zeros(Float32, 1); options...)
    status(f) = try f(); 0 catch error; error.status end
    @test status(() -> step!(2; lr = -1)) == Layerwise.LAYERWISE_ERROR_INVALID_VALUE
    @test status(() -> step!(1; lr = 1)) == Layerwise.LAYERWISE_ERROR_INVALID_VALUE
    @test status(() -> Plan([-1])) == Layerwise.LAYERWISE_ERROR_LAYER_RANGE
    @test status(() -> Plan([1]; layout = :other)) == Layerwise.LAYERWISE_ERROR_UNKNOWN_FLAG
    @test_throws ArgumentError step!(2; lr = 1, learning_rate = 1)
end

@testset "numbers in memory" begin
    plan = Plan([1])
    completed = Int64[0]
    weights = Float32[4]
    larc_sgd_step!(plan, weights, Float32[2], nothing; lr_ptr = Float32[0.5], eta = 1000, momentum = 0,
                   step_ptr = completed, advance_step = true)
    @test completed == [1]
    @test weights == [3] # the factor is cut to 1
end

# Two ranks in this process: their sums are added in rank order. One plan of the whole that is given the same sums has
# the same bits.
@testset "ranks with pieces" begin
    sizes, cuts = [4, 2], (((0, 1), (0, 0)), ((1, 3), (0, 2))) # by rank and layer: begin and size
    places = ([1], [2, 3, 4, 5, 6])
    start, grads = Float32[1, 2, 3, 4, 5, 6], Float32[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    plans = [set_shard!(Plan([last(piece) for piece in cut]), sizes; layer_begins = [first(piece) for piece in cut])
             for cut in cuts]
    claims = [shard_claim(plan, reinterpret(UInt8, [0.01])) for plan in plans]
    foreach((plan, claim) -> shard_verify(plan, claim, sum(claims)), plans, claims)
    @test query(plans[1], :global_fingerprint) == query(Plan(sizes), :global_fingerprint)
    of_grads, of_weights = zeros(2), zeros(2)
    for (plan, place) in zip(plans, places)
        weight_sums = fill(NaN, 2)
        of_grads .+= partial_norms!(plan, grads[place], fill(NaN, 2); weights = start[place], weight_sums)
        of_weights .+= weight_sums
    end
    @test of_weights == [30, 61]
    for larc in (nothing, (eta = 0.1,))
        given = (lr = 0.01, larc, grad_sums = of_grads, weight_sums = larc === nothing ? nothing : of_weights)
        whole, second = copy(start), zeros(Float32, 2)
        novograd_step!(Plan(sizes), whole, grads, zeros(Float32, 6), second; given...)
        for (plan, place) in zip(plans, places)
            weights, own = start[place], zeros(Float32, 2)
            novograd_step!(plan, weights, grads[place], zero(weights), own; given...)
            @test weights == whole[place]
            @test own == second
        end
    end
    @test_throws LayerwiseError novograd_step!(plans[1], start[[1]], grads[[1]], zeros(Float32, 1), zeros(Float32, 2);
                                               lr = 0.01)
    others = [shard_claim(plans[1], [0x01]), shard_claim(plans[2], [0x02])]
    foreach((plan, claim) -> (@test_throws RanksDisagreeError shard_verify(plan, claim, sum(others))), plans, others)
end

@testset "LARC with sums" begin
    plan = Plan([2])
    weights, grads, of_grads, of_weights = Float32[3, 4], Float32[0.6, 0.8], zeros(1), zeros(1)
    partial_norms!(plan, grads, of_grads; weights, weight_sums = of_weights)
    whole, halves = copy(grads), copy(grads)
    larc_scale!(plan, weights, whole; lr = 1, eta = 0.1)
    larc_scale!(plan, weights, halves; lr = 1, eta = 0.1, grad_sums = of_grads, weight_sums = of_weights)
    @test whole == halves ≈ Float32[0.3, 0.4]
    at_once, by_halves = copy(weights), copy(weights)
    larc_sgd_step!(plan, at_once, grads, nothing; lr = 1, momentum = 0)
    larc_sgd_step!(plan, by_halves, grads, nothing; lr = 1, momentum = 0, grad_sums = of_grads,
                   weight_sums = of_weights)
    @test at_once == by_halves
end
