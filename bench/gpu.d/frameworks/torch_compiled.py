"""layerwise.torch under torch.compile: a compiled step is one graph and has the CPU's bits."""

import functools
import shutil
import sys

import program


def work(run):
    run.facts("torch", "triton")
    program.torch_on(run.device)
    for name in ("NovoGrad", "LARCSGD"):
        for dtype in ("f32", "bf16"):
            run.attempt(f"python: {name}, {dtype}: 20 compiled steps are the CPU's bits",
                        functools.partial(_steps, run, name, dtype))


def backend(run):
    """The compiler's own, with all that it needs; on the CPU one that needs no compiler and checks the same graph."""
    if run.rehearsal:
        return "aot_eager"
    program.need("triton")
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        raise program.Missing("no C compiler, which triton needs")
    return "inductor"


def _steps(run, name, dtype):
    import torch
    from torch_twins import DTYPES, MAKERS, STEPS, Twins, make_gradients

    twins = Twins(MAKERS[name], run.device, DTYPES[dtype])
    torch._dynamo.reset()
    step = torch.compile(twins.device_optimizer.step, backend=backend(run), fullgraph=True)
    for number in range(STEPS):
        twins.step(make_gradients(number, DTYPES[dtype], left_out=False), step)
    return twins.difference()


if __name__ == "__main__":
    sys.exit(program.run("torch_compiled", work))
