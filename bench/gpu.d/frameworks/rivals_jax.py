"""layerwise.jax beside optax's NovoGrad and LARS, each inside jax.jit with donated parameters and state."""

import functools
import gc
import sys

import numpy as np
import program
import shapes
from agreement import disagreement
from jax_steps import jax_on, register_handlers

DTYPES = {"f32": "float32", "bf16": "bfloat16"}
VALUES = 5  # of a parameter, read and written once: weights, gradient and moment
NOVOGRAD = dict(eps=1e-8, weight_decay=0.001)


def work(run):
    run.facts("jax", "jaxlib", "optax")
    jax, device = jax_on(run.device)
    from jax_clock import JaxClock

    for ours, theirs in (("layerwise.jax novograd", "optax novograd"), ("layerwise.jax larc_sgd", "optax lars")):
        run.attempt(f"rivals: {theirs} computes what {ours} does",
                    functools.partial(_disagree, run, jax, device, ours, theirs))
    clock = JaxClock(run, device)
    gc.freeze()  # what was imported is not to be looked through after every row
    for dtype in DTYPES:
        for model in run.models:
            for op in OPTIMIZERS:
                run.attempt_row(f"rivals: {op}, {model}, {dtype}",
                                functools.partial(_time, run, jax, device, clock, op, model, dtype), _is_ours(op))
                gc.collect()


def _is_ours(op):
    return op.startswith("layerwise")


# ---- Optimizers: a function of (params, grads, state) and one that makes the first state -----------------------------

def _layerwise(run, kind, moment, **options):
    layerwise_jax = program.imported("layerwise.jax")
    register_handlers(run)
    optimizer = getattr(layerwise_jax, kind)(**options, **moment)
    return optimizer.step, optimizer.init


def _optax(kind, **options):
    optax = program.imported("optax")
    optimizer = getattr(optax, kind)(**options)

    def step(params, grads, state):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step, optimizer.init


# Of the run and the dtype of the moment, which is that of the parameters: optax has no other.
OPTIMIZERS = {
    "layerwise.jax novograd": lambda run, dtype: _layerwise(
        run, "novograd", {"first_moment_dtype": dtype}, learning_rate=0.01, beta1=0.95, beta2=0.98, **NOVOGRAD),
    "optax novograd": lambda run, dtype: _optax("novograd", learning_rate=0.01, b1=0.95, b2=0.98, **NOVOGRAD),
    # Without clip, which optax has not, and without decay: optax takes the norm of the decayed gradient, ours those of
    # its parts.
    "layerwise.jax larc_sgd": lambda run, dtype: _layerwise(
        run, "larc_sgd", {"momentum_dtype": dtype}, learning_rate=0.1, eta=0.002, eps=1e-8, mode="scale"),
    "optax lars": lambda run, dtype: _optax(
        "lars", learning_rate=0.1, weight_decay=0.0, trust_coefficient=0.002, eps=1e-8, momentum=0.9),
}


@functools.lru_cache(maxsize=1)
def _values(layers, dtype):
    """Parameters and gradients on the host, random; from NumPy, since JAX would compile a program for each shape."""
    random, period = np.random.default_rng(5), 1 << 20
    pair = (random.normal(0, scale, period).astype(np.float32).astype(dtype) for scale in (0.05, 0.01))
    return tuple([np.resize(values, shape) for shape in layers] for values in pair)


def _model(jax, device, layers, dtype):
    """Parameters and gradients as lists of arrays on the device."""
    return jax.block_until_ready(jax.device_put(_values(tuple(layers), jax.numpy.dtype(dtype)), device))


def _jitted(jax, step):
    return jax.jit(lambda params, state, grads: step(params, grads, state), donate_argnums=(0, 1))


def _disagree(run, jax, device, ours, theirs, steps=5):
    """Where they move the same small model apart; in words, or empty."""
    ends = []
    for op in (ours, theirs):
        params, grads = _model(jax, device, [(7,), (64, 33), (9000,)], "float32")
        begin = [np.array(array) for array in params]  # donated below
        step, init = OPTIMIZERS[op](run, "float32")
        jitted, state = _jitted(jax, step), jax.jit(init)(params)
        for _ in range(steps):
            params, state = jitted(params, state, grads)
        ends.append([np.array(array) for array in params])
    return disagreement(begin, *ends, steps)


def _time(run, jax, device, clock, op, model, dtype):
    layers = shapes.of_model(model)
    step, init = OPTIMIZERS[op](run, DTYPES[dtype])
    params, grads = _model(jax, device, layers, DTYPES[dtype])
    jitted = _jitted(jax, step)
    kind, ran = ("timing", "layerwise.jax") if _is_ours(op) else ("rival", "")
    clock.row(kind, lambda both: jitted(*both, grads), (params, jax.jit(init)(params)), op=f"{op}, jit, donated",
              model=model, dtypes="/".join(3 * [dtype]), ran=ran, parameters=shapes.count(layers), layers=len(layers),
              floor=VALUES * grads[0].dtype.itemsize)


if __name__ == "__main__":
    sys.exit(program.run("rivals_jax", work))
