"""layerwise.jax on the device: its handlers, inside jax.jit, give the CPU's bits, those of a Plan on NumPy's arrays."""

import functools
import os
import shutil
import sys

import numpy as np
import program
from bits import as_bits, difference, planted

STEPS = 20
SIZES = (1, 64, 8191, 8192, 8193, 100_000)
RATES = [0.01 / (1 + step) for step in range(STEPS)]  # a schedule
LEFT_OUT = 3  # the leaf without a gradient, where one is left out


def jax_on(device):
    """The module and the device's first entry."""
    program.need("jax")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else it takes most of the memory that others need
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    try:
        return jax, jax.devices("cpu" if device == "cpu" else "cuda")[0]
    except RuntimeError as problem:
        raise program.Missing(f"JAX sees no CUDA device: {problem}") from None


def register_handlers(run):
    """Raises Missing where they cannot be had for want of a compiler."""
    import layerwise
    from layerwise.jax import _handlers

    try:
        _handlers.register()
    except layerwise.LibraryError as problem:
        if not os.environ.get("CXX") and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
            raise program.Missing(f"the handlers are not built, and there is no C++ compiler: {problem}") from None
        raise
    return ""


def work(run):
    run.facts("jax", "jaxlib", "numpy")
    jax_on(run.device)
    run.attempt("python: layerwise.jax has handlers that this jaxlib takes", functools.partial(register_handlers, run))
    if run.failed:
        return
    for name in CASES:
        for dtype in ("float32", "bfloat16"):
            run.attempt(f"python: layerwise.jax {name}, {dtype}: 20 jitted steps are the CPU's bits",
                        functools.partial(_steps, run, name, dtype, False))
    run.attempt("python: layerwise.jax novograd, a leaf without gradient: 20 jitted steps are the CPU's bits",
                functools.partial(_steps, run, "novograd", "float32", True))
    run.attempt("python: layerwise.jax novograd: 20 steps in one lax.scan are the CPU's bits",
                functools.partial(_scan, run))


# ---- The cases: what JAX is asked for, and what a plan is ------------------------------------------------------------

EVERYTHING = dict(amsgrad=True, bias_correction=True, grad_averaging=True, average_first_step=False)
CASES = {"novograd": {}, "novograd, every option": EVERYTHING, "larc": {},
         "larc_sgd": dict(weight_decay=1e-4, nesterov=True)}


def _optimizer(name, rate):
    import layerwise.jax

    kind = name.split(",")[0]
    options = {"first_moment_dtype": "bfloat16"} if CASES[name] is EVERYTHING else {}
    return getattr(layerwise.jax, kind)(rate, **CASES[name], **options)


def _gradients(step, dtype):
    random = np.random.default_rng(100 + step)
    return [random.uniform(-0.01, 0.01, size).astype(dtype) for size in SIZES]


def _weights(dtype):
    random = np.random.default_rng(7)
    return [random.uniform(-0.05, 0.05, size).astype(dtype) for size in SIZES]


def _rate(step):
    """The double that a plan is given for JAX's float32."""
    return float(np.float32(RATES[step]))


def _on_the_cpu(name, dtype, left_out):
    """Weights and gradients after the last step, by a plan on NumPy's arrays."""
    import layerwise
    moment_dtype = "bfloat16" if CASES[name] is EVERYTHING else "float32"
    plan = layerwise.Plan(SIZES, layout="scattered", weights_dtype=dtype, grads_dtype=dtype,
                          first_moment_dtype=moment_dtype, threads=1)
    weights, moments = _weights(_dtype(dtype)), [np.zeros(size, _dtype(moment_dtype)) for size in SIZES]
    second, maximum = np.zeros(len(SIZES), np.float32), np.zeros(len(SIZES), np.float32)
    for step in range(STEPS):
        grads = _gradients(step, _dtype(dtype))
        if left_out:
            grads[LEFT_OUT] = None
        if name.startswith("novograd"):
            plan.novograd_step(weights, grads, moments, second, lr=_rate(step), step=step + 1, **CASES[name],
                               **({"max_second_moment": maximum} if CASES[name] else {}))
        elif name == "larc_sgd":
            plan.larc_sgd_step(weights, grads, moments, lr=_rate(step), momentum=0.9, **CASES[name])
        else:
            plan.larc_scale(weights, grads, lr=_rate(step))
    return weights, grads


def _dtype(name):
    import ml_dtypes
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


# ---- The steps -------------------------------------------------------------------------------------------------------

def _steps(run, name, dtype, left_out):
    jax, device = jax_on(run.device)
    optimizer = _optimizer(name, lambda count: jax.numpy.asarray(RATES, "float32")[count])
    params = {i: jax.device_put(weights, device) for i, weights in enumerate(_weights(_dtype(dtype)))}
    state = jax.device_put(optimizer.init(params), device)
    if name == "larc":
        jitted = jax.jit(lambda params, grads, state: optimizer.update(grads, state, params), donate_argnums=(1, 2))
    else:
        jitted = jax.jit(optimizer.step, donate_argnums=(0, 2))
    for step in range(STEPS):
        grads = {i: jax.device_put(values, device) for i, values in enumerate(_gradients(step, _dtype(dtype)))}
        if left_out:
            grads[LEFT_OUT] = None
        result, state = jitted(params, grads, state)
        _plant(jax, step, result)
        params = params if name == "larc" else result
    expected = _on_the_cpu(name, dtype, left_out)[1 if name == "larc" else 0]
    return difference([(f"leaf {i}", result[i], expected[i]) for i in range(len(SIZES)) if result[i] is not None])


def _plant(jax, step, tree):
    if planted(step + 1):
        bits, leaf = as_bits(tree[4]).copy(), tree[4]
        bits.flat[0] ^= 1
        tree[4] = jax.device_put(bits.view(leaf.dtype), next(iter(leaf.devices())))


def _scan(run):
    jax, device = jax_on(run.device)
    optimizer = _optimizer("novograd", lambda count: jax.numpy.asarray(RATES, "float32")[count])
    params = {i: jax.device_put(weights, device) for i, weights in enumerate(_weights(np.dtype("float32")))}
    by_step = [_gradients(step, np.dtype("float32")) for step in range(STEPS)]
    grads = {i: jax.device_put(np.stack([values[i] for values in by_step]), device) for i in range(len(SIZES))}

    def step(carried, grads):
        return optimizer.step(carried[0], grads, carried[1]), None

    (result, _), _ = jax.jit(lambda *carried: jax.lax.scan(step, carried, grads))(params, optimizer.init(params))
    _plant(jax, STEPS - 1, result)
    expected, _ = _on_the_cpu("novograd", "float32", False)
    return difference([(f"leaf {i}", result[i], expected[i]) for i in range(len(SIZES))])


if __name__ == "__main__":
    sys.exit(program.run("jax_steps", work))
