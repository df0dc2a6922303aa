"""What a step costs the host; started by bench/host, which has found or made what this needs."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax_part
import layerwise
import numpy as np
import torch
from contenders import OURS, TORCHS, Maker, parameters, timms
from layerwise.torch import _native
from layerwise.torch._memory import RepeatablePlan
from rounds import Step, in_turn, ratio

sys.path.append(str(Path(__file__).resolve().parents[1] / "gpu.d" / "frameworks"))
import shapes

SPINNING = 0.1  # seconds in which an OpenMP runtime's idle workers fall asleep


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/host")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row, or each set of rows that take turns")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--threads", type=int, default=0, help="of torch and layerwise; 0: as many as they choose")
    parser.add_argument("--road", default="compiled", choices=("compiled", "python"),
                        help="how layerwise.torch finds a step's tensors; compiled: as in a process that is not short")
    parser.add_argument("--rehearsal", action="store_true", help="with a few small tensors: no figure means anything")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts.split(",")) - PARTS.keys():
        parser.error(f"no such parts: {', '.join(sorted(unknown))}")
    if options.threads:
        torch.set_num_threads(options.threads)
    # One thread's own time is what a busy machine disturbs least.
    options.clock = time.thread_time if torch.get_num_threads() == options.threads == 1 else time.perf_counter
    facts(options.threads, take(options.road))
    for part in options.parts.split(","):
        PARTS[part](options)
    return 0


def take(road: str) -> str:
    """Has layerwise.torch find a step's tensors so; where it cannot be compiled, as its users' does then."""
    native, functions = _native.native, None
    if road == "compiled":
        try:
            functions = _native.Functions(_native.build().make())
        except (layerwise.LibraryError, OSError) as problem:
            road = f"python, since it cannot be compiled: {problem}"
    native.found = lambda: functions
    native.functions = functions
    return road


def facts(threads: int, road: str) -> None:
    with layerwise.Plan([1], threads=threads) as plan:
        taken, isa = plan.threads, plan.isa
    print(f"{processor()}, {len(os.sched_getaffinity(0))} cores for this process; Python {platform.python_version()}, "
          f"torch {torch.__version__}, NumPy {np.__version__}, layerwise {layerwise.__version__} ({isa})\n"
          f"threads: torch {torch.get_num_threads()}, and so layerwise.torch; a plan {taken}; "
          + ", ".join(f"{name} {os.environ.get(name, 'not set')}" for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"))
          + f"\nhow layerwise.torch finds a step's tensors: {road}")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                platform.processor() or platform.machine())


def heading(text: str) -> None:
    print(f"\n{text}", flush=True)


# ---- One group, many groups, many optimizers -----------------------------------------------------------------------


def groups(options: argparse.Namespace) -> None:
    small = [64] * (4 if options.rehearsal else 160)
    large = [100] * 4 if options.rehearsal else [int(np.prod(shape)) for shape in shapes.resnet50()]
    heading("Microseconds a step, one group; the times of a group for every parameter, and of an optimizer for every "
            f"parameter, over it\n  {'':18} {'tensors':>24} {'one group':>11} {'groups':>8} {'optimizers':>11}")
    for name, make in {**OURS, **TORCHS}.items():
        row_of_groups(name, make, small, f"{len(small)} of 64", options)
    for name, make in {**OURS, "torch SGD fused": TORCHS["torch SGD fused"]}.items():
        row_of_groups(name, make, large, f"{len(large)}, {sum(large) / 1e6:.1f} M", options)


def row_of_groups(name: str, make: Maker, sizes: Sequence[int], tensors: str, options: argparse.Namespace) -> None:
    """All three step the same parameters."""
    shared = parameters(sizes)
    one = make(shared)
    many = make([{"params": [parameter]} for parameter in shared])
    apart = [make([parameter]) for parameter in shared]

    def all_apart() -> None:
        for optimizer in apart:
            optimizer.step()

    times = in_turn([Step(one.step), Step(many.step), Step(all_apart)], options.seconds, options.clock)
    print(f"  {name:18} {tensors:>24} {statistics.median(times[0]):11.0f} {ratio(times[1], times[0]):8.2f} "
          f"{ratio(times[2], times[0]):11.2f}", flush=True)


# ---- Many tensors --------------------------------------------------------------------------------------------------


def tensors(options: argparse.Namespace) -> None:
    heading("One group of tensors, a step right after forward and backward of another model\n"
            f"  {'':18} {'tensors':>16} {'us a step':>11} {'us a tensor':>12} {'x torch SGD fused':>18}")
    train = training()
    for label, sizes in sets_of_tensors(options.rehearsal, (1, 161, 1000, 5000)).items():
        makers = {**OURS, **TORCHS, **timms()}
        optimizers = [make(parameters(sizes)) for make in makers.values()]
        steps = [Step(optimizer.step, train) for optimizer in optimizers]
        times = in_turn(steps, options.seconds * len(steps), options.clock)
        reference = times[list(makers).index("torch SGD fused")]
        for name, own in zip(makers, times, strict=True):
            median = statistics.median(own)
            print(f"  {name:18} {label:>16} {median:11.0f} {median / len(sizes):12.2f} {ratio(own, reference):18.2f}",
                  flush=True)


def training() -> Callable[[], None]:
    """Forward and backward of a small model. They come before every step, so that it finds other code and data in the
    caches, as in training, whichever optimizer was timed before it."""
    model = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(40)])
    batch = torch.randn(8, 64)

    def train() -> None:
        model.zero_grad()
        model(batch).square().mean().backward()

    return train


def sets_of_tensors(rehearsal: bool, counts: Sequence[int]) -> dict[str, list[int]]:
    """Elements of the tensors, by a label."""
    if rehearsal:
        return {"4 of 64": [64] * 4}
    small = {f"{count} of 64": [64] * count for count in counts}
    return {**small, "ResNet-50's 161": [int(np.prod(shape)) for shape in shapes.resnet50()]}


# ---- Where it goes -------------------------------------------------------------------------------------------------


class Idle(torch.optim.Optimizer):
    """Does what torch does around every step."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    def step(self, closure: Any = None) -> None:
        return None


COLUMNS = ("tensors", "the step", "torch around", "options", "tensors found", "the library", "the rest",
           "looked at all")


def shares(options: argparse.Namespace) -> None:
    heading("Where a step of NovoGrad goes, tensors of 64 elements, microseconds\n  "
            + "".join(f"{name:>15}" for name in COLUMNS))
    for count in (2, 4) if options.rehearsal else (1, 161, 1000, 5000):
        row_of_shares(count, options)


def row_of_shares(count: int, options: argparse.Namespace) -> None:
    optimizer: Any = OURS["NovoGrad"](parameters([64] * count))
    for _ in range(4):
        optimizer.step()
    accepted = optimizer._accept_all()
    [made] = optimizer._repetition._made

    def look_at_all() -> None:
        optimizer._repetition = None
        optimizer.step()

    parts = [optimizer.step, Idle(parameters([64])).step, optimizer._accept_all,
             lambda: optimizer._due(accepted, None, None), lambda: made.call.plan.again(made.call.taken, {"lr": 0.0})]
    times = in_turn([Step(part) for part in parts], options.seconds * len(parts), options.clock)
    rest = [step - sum(others) for step, *others in zip(*times, strict=True)]
    looking = in_turn([Step(look_at_all)], options.seconds, options.clock)
    print(f"  {count:15}" + "".join(f"{statistics.median(own):15.1f}" for own in [*times, rest, *looking]), flush=True)


# ---- Gradients in one buffer ---------------------------------------------------------------------------------------


def gradients(options: argparse.Namespace) -> None:
    heading("NovoGrad, gradients that stay (set_to_none=False): in one buffer (pack_grads) over apart, microseconds\n"
            f"  {'':34} {'tensors':>16} {'apart':>11} {'one buffer':>11} {'ratio':>7}")
    for tensors, sizes in sets_of_tensors(options.rehearsal, (161, 1000, 5000)).items():
        steps = [step for packs in (False, True) for step in parts_of_a_step(sizes, packs).values()]
        times = in_turn(steps, options.seconds * 4, options.clock)
        count = len(times) // 2
        for name, apart, packed in zip(parts_of_a_step([1], False), times[:count], times[count:], strict=True):
            print(f"  {name:34} {tensors:>16} {statistics.median(apart):11.0f} {statistics.median(packed):11.0f} "
                  f"{ratio(packed, apart):7.2f}", flush=True)


def parts_of_a_step(sizes: Sequence[int], packs: bool) -> dict[str, Step]:
    params = parameters(sizes)
    optimizer: Any = OURS["NovoGrad"](params)
    if packs:
        optimizer.pack_grads()
    parts: dict[str, Any] = {
        "zero_grad": lambda: optimizer.zero_grad(set_to_none=False),
        "clip_grad_norm_": lambda: optimizer.clip_grad_norm_(1.0),
        "torch.nn.utils.clip_grad_norm_": lambda: torch.nn.utils.clip_grad_norm_(params, 1.0),
        "step": optimizer.step,
    }

    def all_of_it() -> None:
        for name in ("zero_grad", "clip_grad_norm_", "step"):
            parts[name]()

    return {name: Step(part) for name, part in {**parts, "zero, own clip and step": all_of_it}.items()}


# ---- Calls on NumPy arrays -----------------------------------------------------------------------------------------


def arrays(options: argparse.Namespace) -> None:
    heading("Plan's calls on NumPy arrays, layers of 64 elements, microseconds\n"
            f"  {'':28} {'layers':>8} {'a call':>11} {'the library':>12} {'between':>10}")
    for count in (2, 4) if options.rehearsal else (1, 161):
        for layout in ("packed", "scattered"):
            plan = RepeatablePlan([64] * count, threads=options.threads or 1, layout=layout)
            for name, step in PLAN_STEPS.items():
                row_of_arrays(name, layout, plan, step, options)


PLAN_STEPS: dict[str, Any] = {
    "novograd_step": lambda plan, buffers, values: plan.novograd_step(
        *buffers, values, lr=1e-6, beta1=0.9, weight_decay=1e-4, grad_averaging=True),
    "larc_sgd_step": lambda plan, buffers, values: plan.larc_sgd_step(
        *buffers, lr=1e-6, momentum=0.9, weight_decay=1e-4),
}


def row_of_arrays(name: str, layout: str, plan: RepeatablePlan, step: Any, options: argparse.Namespace) -> None:
    random, count = np.random.default_rng(0), plan.layers
    buffers: list[Any] = [random.standard_normal(64 * count, np.float32) for _ in range(3)]
    values = np.zeros(count, np.float32)
    lists, tables = buffers, buffers
    if layout == "scattered":
        lists = [list(buffer.reshape(count, 64)) for buffer in buffers]
        tables = [plan.pointer_table(arrays, what)
                  for arrays, what in zip(lists, ("weights", "grads", "first_moment"), strict=True)]
    step(plan, tables, values)
    function, addresses, structs, stream = plan.last
    arguments = plan._live(), *addresses, *map(ctypes.byref, structs), stream
    calls = [Step(lambda: step(plan, lists, values)), Step(lambda: function(*arguments))]
    whole, library = in_turn(calls, options.seconds, options.clock)
    between = statistics.median(one - other for one, other in zip(whole, library, strict=True))
    name += ", packed" if lists is buffers else ", lists"
    print(f"  {name:28} {count:8} {statistics.median(whole):11.1f} {statistics.median(library):12.1f} {between:10.1f}",
          flush=True)


# ---- Right after torch's own parallel work -------------------------------------------------------------------------


def neighbours(options: argparse.Namespace) -> None:
    sizes = [100] * 4 if options.rehearsal else [int(np.prod(shape)) for shape in shapes.resnet50()]
    step = packed_step(sizes, options.threads)
    sgd = TORCHS["torch SGD fused"](parameters(sizes))
    sgd.step()

    def alone() -> None:
        time.sleep(0 if options.rehearsal else SPINNING)
        step()

    def after() -> None:
        step()
        sgd.step()

    times = in_turn([Step(step, alone), Step(step, after), Step(sgd.step, alone)], options.seconds * 3, options.clock)
    heading(f"Plan.novograd_step, {len(sizes)} layers, {sum(sizes) / 1e6:.1f} M parameters in one packed buffer, "
            f"beside a step alone\n  {'':40} {'us a step':>11} {'x alone':>8}")
    names = ("alone", "right after a step of torch SGD fused", "torch SGD fused itself")
    for name, own in zip(names, times, strict=True):
        print(f"  {name:40} {statistics.median(own):11.0f} {ratio(own, times[0]):8.2f}", flush=True)


def packed_step(sizes: Sequence[int], threads: int) -> Any:
    random = np.random.default_rng(0)
    weights, grads = (random.standard_normal(sum(sizes), np.float32) for _ in range(2))
    first_moment, second_moment = np.zeros_like(weights), np.zeros(len(sizes), np.float32)
    plan = layerwise.Plan(sizes, threads=threads)
    return lambda: plan.novograd_step(weights, grads, first_moment, second_moment, lr=1e-6)


# ---- JAX -----------------------------------------------------------------------------------------------------------


def jax(options: argparse.Namespace) -> None:
    heading("layerwise.jax and optax in jax.jit, parameters and state donated\n"
            f"  {'':24} {'tensors':>14} {'us a step':>11} {'x its rival':>12}")
    if lacking := jax_part.lacks():
        print(f"  left out: {lacking}")
        return
    sets: dict[str, list[Any]] = {"161 of 64": [(64,)] * 161, "ResNet-50's 161": shapes.resnet50()}
    for tensors, all_shapes in ({"4 of 64": [(64,)] * 4} if options.rehearsal else sets).items():
        for pair in jax_part.PAIRS:
            times = in_turn(jax_part.steps(pair, all_shapes), options.seconds * 2, options.clock)
            for name, own in zip(pair, times, strict=True):
                print(f"  {name:24} {tensors:>14} {statistics.median(own):11.0f} {ratio(own, times[1]):12.2f}",
                      flush=True)
    heading("Compiling a step of layerwise.jax and of optax, tensors of 64 elements\n"
            f"  {'':24} {'tensors':>8} {'seconds':>9} {'ms a tensor':>12} {'x ' + jax_part.COMPILED[-1]:>13}")
    for count in (4, 40) if options.rehearsal else (250, 500, 1000, 2000):
        seconds = [jax_part.seconds_to_compile(name, count) for name in jax_part.COMPILED]
        for name, own in zip(jax_part.COMPILED, seconds, strict=True):
            print(f"  {name:24} {count:8} {own:9.2f} {own / count * 1e3:12.2f} {own / seconds[-1]:13.2f}", flush=True)
    heading("Weights, of 168000 in 8 tensors, that 5 steps in jax.jit leave with other bits than 5 steps without")
    for name in (name for pair in jax_part.PAIRS for name in pair):
        print(f"  {name:24} {jax_part.unlike_weights(name, [(300, 70)] * 8, 5):14}")


PARTS = {"groups": groups, "tensors": tensors, "shares": shares, "gradients": gradients, "arrays": arrays,
         "neighbours": neighbours, "jax": jax}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
