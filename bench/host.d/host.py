"""What a step costs the host; started by bench/host, which has found or made what this needs."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import layerwise
import numpy as np
import torch
from contenders import OURS, TORCHS, Maker, parameters
from rounds import Step, in_turn, ratio

sys.path.append(str(Path(__file__).resolve().parents[1] / "gpu.d" / "frameworks"))
import shapes

SPINNING = 0.1  # seconds in which an OpenMP runtime's idle workers fall asleep


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/host")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row, or each set of rows that take turns")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--threads", type=int, default=0, help="of torch and layerwise; 0: as many as they choose")
    parser.add_argument("--rehearsal", action="store_true", help="with a few small tensors: no figure means anything")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts.split(",")) - PARTS.keys():
        parser.error(f"no such parts: {', '.join(sorted(unknown))}")
    if options.threads:
        torch.set_num_threads(options.threads)
    # One thread's own time is what a busy machine disturbs least.
    options.clock = time.thread_time if torch.get_num_threads() == options.threads == 1 else time.perf_counter
    facts(options.threads)
    for part in options.parts.split(","):
        PARTS[part](options)
    return 0


def facts(threads: int) -> None:
    with layerwise.Plan([1], threads=threads) as plan:
        taken, isa = plan.threads, plan.isa
    print(f"{processor()}, {len(os.sched_getaffinity(0))} cores for this process; Python {platform.python_version()}, "
          f"torch {torch.__version__}, NumPy {np.__version__}, layerwise {layerwise.__version__} ({isa})\n"
          f"threads: torch {torch.get_num_threads()}, and so layerwise.torch; a plan {taken}; "
          + ", ".join(f"{name} {os.environ.get(name, 'not set')}" for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")))


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
    heading("One group of tensors of 64 elements, nearly all of it the host\n"
            f"  {'':18} {'tensors':>10} {'us a step':>11} {'us a tensor':>12} {'x torch SGD fused':>18}")
    makers = {**OURS, **TORCHS}
    for count in (2, 4) if options.rehearsal else (161, 1000):
        optimizers = [make(parameters([64] * count)) for make in makers.values()]
        steps = [Step(optimizer.step) for optimizer in optimizers]
        times = in_turn(steps, options.seconds * len(steps), options.clock)
        reference = times[list(makers).index("torch SGD fused")]
        for name, own in zip(makers, times, strict=True):
            median = statistics.median(own)
            print(f"  {name:18} {count:10} {median:11.0f} {median / count:12.2f} {ratio(own, reference):18.2f}",
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


PARTS = {"groups": groups, "tensors": tensors, "neighbours": neighbours}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
