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
