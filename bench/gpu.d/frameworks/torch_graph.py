"""layerwise.torch in a captured CUDA graph: 20 replays, between which gradients change and a schedule changes the
learning rate on the device, have the bits of 20 steps on the CPU."""

import functools
import sys
import warnings

import program


def work(run):
    run.facts("torch", "numpy")
    program.torch_on(run.device)
    from torch_twins import DTYPES

    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")  # a replay is no call of optimizer.step
    if run.rehearsal:
        run.not_run("python: captured into a CUDA graph", "no CUDA device: eager steps stand in for the replays")
    for name, dtype, flatten in (("NovoGrad", "f32", False), ("LARCSGD", "f32", False), ("NovoGrad", "f32", True),
                                 ("NovoGrad", "bf16", False), ("LARCSGD", "bf16", False),
                                 ("NovoGrad, every option", "f32", False)):
        case = f"{name}, {dtype}, {'flatten' if flatten else 'scattered'}"
        run.attempt(f"python: {case}: 20 replays of a graph under a schedule are the CPU's bits",
                    functools.partial(_replays, run, name, DTYPES[dtype], flatten))


def _replays(run, name, dtype, flatten):
    from torch.optim.lr_scheduler import LambdaLR
    from torch_twins import MAKERS, STEPS, Twins, make_gradients

    twins = Twins(MAKERS[name], run.device, dtype, flatten=flatten, capturable=True)
    schedules = [LambdaLR(optimizer, lambda step: 1 / (1 + step))
                 for optimizer in (twins.device_optimizer, twins.host_optimizer)]
    twins.set_gradients(make_gradients(0, dtype, left_out=False))
    replay = _captured(run, twins)
    for step in range(1, STEPS + 1):
        for schedule in schedules:
            schedule.step()
        twins.step(make_gradients(step, dtype, left_out=False), replay)
    return twins.difference()


def _captured(run, twins):
    """A first step on both sides, which a capture needs; what then performs a step of the device."""
    twins.host_optimizer.step()
    if run.rehearsal:
        twins.device_optimizer.step()
        return twins.device_optimizer.step
    from torch_capture import captured

    return captured(twins.device_optimizer.step)


if __name__ == "__main__":
    sys.exit(program.run("torch_graph", work))
