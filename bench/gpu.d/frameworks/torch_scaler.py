"""layerwise.torch under torch.amp.GradScaler: a step whose gradients overflow changes nothing, the scale is halved, and
all other steps have the bits of unscaled ones on the CPU."""

import functools
import re
import sys

import program

SCALE = 2.0**10
OVERFLOWS = (0, 7)  # the first step too: no state may be made of it
# GradScaler unscales float32 gradients itself, and refuses to where they are float16; those of an optimizer that reads
# the scale it only looks through. On CUDA it has no kernel for bfloat16.
CASES = {**dict.fromkeys(("NovoGrad", "NovoGrad, every option", "LARCSGD"), ("f32", "f16", "bf16")),
         "LARC around SGD": ("f32", "bf16")}


def work(run):
    run.facts("torch")
    program.torch_on(run.device)
    for name, dtypes in CASES.items():
        for dtype in dtypes:
            run.attempt(f"python: {name}, {dtype}: 20 steps under GradScaler, two overflow: they are the CPU's bits",
                        functools.partial(_steps, run, name, dtype))


def _steps(run, name, dtype):
    import torch
    from torch_twins import MAKERS, SCALED_DTYPES, STEPS, Twins, make_gradients

    in_step = {} if name == "LARC around SGD" else {"unscale_in_step": True}
    twins = Twins(MAKERS[name], run.device, SCALED_DTYPES[dtype], **in_step)
    scaler = torch.amp.GradScaler(run.device, init_scale=SCALE, growth_interval=1000)
    scaler.scale(torch.ones((), device=run.device))  # makes the scale's tensor, as scaling a loss does
    expected = SCALE
    for step in range(STEPS):
        # All layers: GradScaler looks at the gradients of the whole optimizer.
        twins.set_gradients(make_gradients(step, SCALED_DTYPES[dtype], left_out=False), scaler.get_scale())
        overflow = step in OVERFLOWS
        if overflow:
            twins.device_weights[4].grad[17] = float("inf")
        before = [weight.detach().clone() for weight in twins.device_weights]
        _step(scaler, twins.device_optimizer)
        scaler.update()
        twins.device_stepped()
        if not overflow:
            twins.host_optimizer.step()
            continue
        expected /= 2
        if scaler.get_scale() != expected:
            return f"step {step} overflowed, and the scale is {scaler.get_scale()}, not {expected}"
        if not all(torch.equal(old, new) for old, new in zip(before, twins.device_weights)):
            return f"step {step} overflowed, and weights have changed"
    return twins.difference()


def _step(scaler, optimizer):
    """Raises Missing for a dtype of which PyTorch says that its own part is not implemented."""
    try:
        scaler.step(optimizer)
    except RuntimeError as problem:
        if not re.search("_amp_.*not implemented for", str(problem)):
            raise
        raise program.Missing(f"GradScaler: {problem}") from None


if __name__ == "__main__":
    sys.exit(program.run("torch_scaler", work))
