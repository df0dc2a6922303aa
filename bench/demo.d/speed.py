"""What a NovoGrad step costs here, beside a plain loop that makes the same reads and writes on the same arrays."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layerwise
import numpy as np
from tqdm import tqdm

BYTES = 20  # a parameter, float32: gradient, momentum and weight read, momentum and weight written
BUDGET = 3.0  # seconds for each measurement


def resnet50_sizes() -> list[int]:
    """The 161 parameter tensors of ResNet-50: 25 557 032 elements."""
    def normalized(out: int, fan_in: int) -> list[int]:
        return [out * fan_in, out, out]  # convolution, then batch normalization's weight and bias

    sizes, width = normalized(64, 3 * 7 * 7), 64
    for inner, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            sizes += normalized(inner, width) + normalized(inner, inner * 9) + normalized(4 * inner, inner)
            sizes += normalized(4 * inner, width) if block == 0 else []
            width = 4 * inner
    return [*sizes, 1000 * width, 1000]


def compile_plain_loop() -> Callable[..., None] | None:
    """The loop as a function, or None where no C compiler with OpenMP is found."""
    folder = Path(tempfile.mkdtemp(prefix="plain-loop-"))
    library = folder / "plain_loop.so"
    source = Path(__file__).with_name("plain_loop.c")
    for compiler in ("cc", "gcc", "g++", "clang"):
        try:
            subprocess.run([compiler, "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", str(source), "-o",
                            str(library)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        loop = ctypes.CDLL(str(library)).plain_loop
        loop.restype = None
        loop.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64, ctypes.c_int]
        return loop
    return None


def packed_step(weights: np.ndarray, grads: np.ndarray, momentum: np.ndarray, sizes: list[int]) -> Callable[[], None]:
    """A step on the packed arrays themselves."""
    plan, second_moment = layerwise.Plan(sizes), np.zeros(len(sizes), np.float32)
    return lambda: plan.novograd_step(weights, grads, momentum, second_moment, lr=1e-6)


def measure(label: str, sizes: list[int], loop: Callable[..., None] | None, make_step: Callable[..., Any]) -> str:
    """Times both in turn for BUDGET seconds each, and compares the medians."""
    count = sum(sizes)
    random = np.random.default_rng(0)
    weights, grads = (random.standard_normal(count, np.float32) for _ in range(2))
    momentum = np.zeros(count, np.float32)
    with layerwise.Plan([1]) as plan:
        threads = plan.threads
    calls = [make_step(weights, grads, momentum, sizes)]
    if loop:
        addresses = [array.ctypes.data for array in (weights, grads, momentum)]
        calls.append(lambda: loop(*addresses, count, threads))
    step, *plain = medians(calls, label)
    text = (f"  {label}: {len(sizes)} layers, {count:,} parameters, {threads} threads\n"
            f"    NovoGrad step  {step * 1e6:10.1f} us   {BYTES * count / 1e6:8.2f} MB   {rate(count, step):6.1f} GB/s")
    if plain:
        text += (f"\n    plain loop     {plain[0] * 1e6:10.1f} us   {BYTES * count / 1e6:8.2f} MB   "
                 f"{rate(count, plain[0]):6.1f} GB/s   the step reaches {plain[0] / step:.0%} of its rate")
    return text


def rate(count: int, seconds: float) -> float:
    return BYTES * count / seconds / 1e9


def medians(calls: list[Callable[[], None]], label: str) -> list[float]:
    times: list[list[float]] = [[] for _ in calls]
    with tqdm(total=BUDGET * len(calls), desc=f"{label:<20}", unit="s", mininterval=0.5,
              bar_format="{l_bar}{bar}| {n:.1f}/{total:.1f} s") as bar:
        for call in calls:
            call()
        while bar.n < bar.total:
            start = time.perf_counter()
            for call, own in zip(calls, times):
                before = time.perf_counter()
                call()
                own.append(time.perf_counter() - before)
            bar.update(min(time.perf_counter() - start, bar.total - bar.n))
    return [float(np.median(own)) for own in times]
