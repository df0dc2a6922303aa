# The shared vectors: results of other implementations, in float64 (tests/vectors/README.md says which). A step rounds each
# float32 value fewer than 8 times, by at most 2^-24 of the layer's largest; factors below 1 carry that on.

const VECTORS = joinpath(@__DIR__, "..", "..", "..", "tests", "vectors")

read_vectors(prefix) = [(name, parse_json(read(joinpath(VECTORS, name), String)))
                        for name in readdir(VECTORS) if startswith(name, prefix) && endswith(name, ".json")]

function layers_close(got, expected, start, sizes, steps)
    ends = cumsum(Int.(sizes))
    return all(zip(ends, Int.(sizes))) do (stop, size)
        layer = (stop - size + 1):stop
        bound = 8 * steps * 2.0^-24 * max(maximum(abs, expected[layer]), maximum(abs, start[layer]))
        all(abs.(got[layer] .- expected[layer]) .<= bound)
    end
end

values_close(got, expected, steps) = all(abs.(got .- expected) .<= 8 * steps * 2.0^-24 .* abs.(expected))

function novograd_keywords(given)
    names = ("lr", "beta1", "beta2", "eps", "weight_decay", "grad_averaging", "average_first_step", "amsgrad",
             "bias_correction", "lr_in_momentum", "maximize")
    options = Dict{Symbol,Any}(Symbol(name) => given[name] for name in names if haskey(given, name))
    options[:eps_root] = get(given, "eps_inside_sqrt", 0.0)
    options[:norm] = Symbol(given["norm"])
    options[:seed_second_moment] = given["first_step"] == "zero" ? :off : :while_zero
    options[:decoupled_weight_decay] = startswith(given["decay"], "decoupled") ? :raw : :off
    return options
end

@testset "vectors: $name" for (name, case) in read_vectors("novograd-")
    given, sizes, steps = case["hyper_parameters"], case["layer_sizes"], case["steps"]
    start = Float32.(case["initial_weights"])
    weights, first_moment, second_moment = copy(start), zero(start), zeros(Float32, length(sizes))
    maxima = get(given, "amsgrad", false) ? zero(second_moment) : nothing
    plan = Plan(Int.(sizes))
    for (step, grads) in enumerate(case["gradients"])
        novograd_step!(plan, weights, Float32.(grads), first_moment, second_moment; max_second_moment = maxima,
                       step = step, novograd_keywords(given)...)
    end
    @test layers_close(weights, case["expected_weights"], start, sizes, steps)
    @test layers_close(first_moment, case["expected_first_moment"], zero(start), sizes, steps)
    power = given["norm"] == "inf" ? 1 : 2 # apex stores the norm, this library its square
    v = haskey(case, "expected_norms") ? case["expected_norms"] .^ power : case["expected_second_moment"]
    @test values_close(second_moment, v, steps)
    maxima === nothing || @test values_close(maxima, case["expected_max_second_moment"], steps)
end

function larc_keywords(given)
    rule = get(given, "zero_norm", "floor") # OpenSeq2Seq's: min_update
    folds = get(given, "fold_weight_decay", get(given, "weight_decay_in_norm", false))
    return (lr = given["lr"], eta = get(() -> given["trust_coefficient"], given, "larc_eta"),
            eps = get(() -> given["eps"], given, "epsilon"),
            mode = Symbol(get(() -> given["mode"], given, "larc_mode")), min_update = get(given, "min_update", 0.0),
            weight_decay = get(given, "weight_decay", 0.0),
            fold_weight_decay = folds ? :norms : :off,
            zero_norm = rule in ("floor", "freeze", "keep") ? Symbol(rule) : :untouched)
end

@testset "vectors: $name" for (name, case) in read_vectors("larc-")
    sizes, steps, options = case["layer_sizes"], case["steps"], larc_keywords(case["hyper_parameters"])
    momentum = get(case["hyper_parameters"], "momentum", 0.0)
    start = Float32.(case["initial_weights"])
    weights, buffer = copy(start), momentum == 0 ? nothing : zero(start)
    plan, stats = Plan(Int.(sizes)), zeros(length(STATISTICS), length(sizes))
    for (step, gradients) in enumerate(case["gradients"])
        grads = Float32.(gradients)
        scaled = copy(grads)
        larc_scale!(plan, weights, scaled; layer_stats = stats, options...)
        @test layers_close(scaled, case["expected_scaled_gradients"][step], zero(start), sizes, steps)
        haskey(case, "expected_factors") && @test values_close(stats[4, :], case["expected_factors"][step], steps)
        larc_sgd_step!(plan, weights, grads, buffer; momentum = momentum, options...)
    end
    @test layers_close(weights, case["expected_weights"], start, sizes, steps)
end
