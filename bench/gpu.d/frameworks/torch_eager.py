"""layerwise.torch on the device: 20 steps of every optimizer have the CPU's bits, wherever the parameters lie."""

import functools
import sys

import program


def work(run):
    run.facts("torch", "numpy")
    program.torch_on(run.device)
    from torch_twins import DTYPES, MAKERS

    for name in MAKERS:
        for dtype in DTYPES:
            for flatten in (False, True):
                if flatten and name.startswith("LARC around"):
                    continue  # leaves parameters where they are
                place = "flatten" if flatten else "scattered"
                run.attempt(f"python: {name}, {dtype}, {place}: 20 steps are the CPU's bits",
                            functools.partial(_steps, run, name, DTYPES[dtype], {"flatten": True} if flatten else {}))


def _steps(run, name, dtype, options):
    from torch_twins import MAKERS, STEPS, Twins, make_gradients

    twins = Twins(MAKERS[name], run.device, dtype, **options)
    for step in range(STEPS):
        twins.step(make_gradients(step, dtype))
    return twins.difference(gradients_too=True)


if __name__ == "__main__":
    sys.exit(program.run("torch_eager", work))
