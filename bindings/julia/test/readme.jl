using Layerwise

plan = Plan([2, 3]) # two layers, of 2 and 3 elements
weights, grads = Float32[1, 2, 3, 4, 5], Float32[0.1, 0.2, 0.3, 0.4, 0.5]
first_moment, second_moment = zeros(Float32, 5), zeros(Float32, 2)
novograd_step!(plan, weights, grads, first_moment, second_moment; lr = 0.01)
println(weights)
