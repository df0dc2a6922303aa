"""Where the compiled road of a step comes from, and that nobody waits for it.

Each case is a process of its own: a process looks for it once. That both roads do the same is held elsewhere
(test_torch_repetition.py).
"""

from __future__ import annotations

import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
from processes import compiler, python

pytest.importorskip("torch", reason="PyTorch is not installed")

# argv: how many repeated steps make a process a long one, and how many seconds it waits for what they start.
STEPS = """
import sys, time, torch
from layerwise.torch import NovoGrad, _native
_native.MANY, seconds = int(sys.argv[1]), float(sys.argv[2])
weight = torch.nn.Parameter(torch.arange(12.0))
weight.grad = torch.ones(12)
optimizer = NovoGrad([weight], 0.1)
native = _native.native
for number in range(40):
    optimizer.step()
    if number == 20:
        end = time.monotonic() + seconds
        while native.functions is None and time.monotonic() < end:
            time.sleep(0.05)
print(weight.tolist())
print("compiled" if native.functions is not None else "Python", type(optimizer._repetition._watch).__name__)
"""


@pytest.fixture(scope="module")
def by_python() -> str:
    """The weights after the steps."""
    weights, road = python(STEPS, 5, 0, LAYERWISE_TORCH_LIBRARY="none")
    assert road == "Python InPython"
    return weights


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, by_python: str) -> Path:
    """One that a long process has filled, in the middle of its steps."""
    compiler()
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        pytest.skip("Python's headers are not installed")
    folder = tmp_path_factory.mktemp("cache")
    assert python(STEPS, 5, 280, LAYERWISE_TORCH_LIBRARY=None, LAYERWISE_CACHE=folder) == [
        by_python, "compiled Compiled"]
    assert [path.suffix for path in folder.iterdir()] == [".so"]
    return folder


def test_a_later_process_finds_it_without_a_compiler(cache: Path, by_python: str) -> None:
    assert python(STEPS, 10**9, 0, LAYERWISE_TORCH_LIBRARY=None, LAYERWISE_CACHE=cache, CXX=compiler(),
                  PATH="/nowhere") == [by_python, "compiled Compiled"]


def test_a_library_may_be_named(cache: Path, by_python: str, tmp_path: Path) -> None:
    (built,) = cache.iterdir()
    assert python(STEPS, 10**9, 0, LAYERWISE_TORCH_LIBRARY=built, LAYERWISE_CACHE=tmp_path) == [
        by_python, "compiled Compiled"]
    assert not list(tmp_path.iterdir())


# Hazard: what is wrong with the library is said in the middle of a training, by a step that was taken.
def test_a_named_file_that_is_no_library_is_refused_by_every_optimizer_that_is_made(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.so"
    wrong.write_text("no library")
    code = """
import torch
from layerwise.torch import NovoGrad
for _ in range(2):
    try:
        NovoGrad([torch.nn.Parameter(torch.ones(3))], 0.1)
    except OSError:
        print("refused")
"""
    assert python(code, LAYERWISE_TORCH_LIBRARY=wrong) == ["refused", "refused"]


def test_a_process_that_gets_no_more_threads_goes_on_in_python(by_python: str, tmp_path: Path) -> None:
    refusing = """
import threading
def start(_):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    assert python(refusing + STEPS, 5, 0, LAYERWISE_TORCH_LIBRARY=None, LAYERWISE_CACHE=tmp_path) == [
        by_python, "Python InPython"]


@pytest.mark.parametrize("environment", [
    {"CXX": "/nowhere/c++"}, {"CXX": "false"}, {"LAYERWISE_CACHE": "/proc/nowhere"}],
    ids=["no compiler", "a compiler that fails", "no cache"])
def test_where_it_cannot_be_compiled_python_code_goes_on(
        environment: dict[str, Any], by_python: str, tmp_path: Path) -> None:
    assert python(STEPS, 5, 1, **{"LAYERWISE_TORCH_LIBRARY": None, "LAYERWISE_CACHE": tmp_path / "cache",
                                  **environment}) == [by_python, "Python InPython"]


def test_a_short_process_compiles_nothing(by_python: str, tmp_path: Path) -> None:
    assert python(STEPS, 1000, 1, LAYERWISE_TORCH_LIBRARY=None, LAYERWISE_CACHE=tmp_path / "cache") == [
        by_python, "Python InPython"]
    assert not (tmp_path / "cache").exists()


def test_a_process_that_ends_while_it_compiles_waits_for_nothing_and_leaves_nothing(
        by_python: str, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nsleep 60\ntouch {tmp_path}/finished\n")
    slow.chmod(0o755)
    begin = time.monotonic()
    assert python(STEPS, 5, 3, LAYERWISE_TORCH_LIBRARY=None, LAYERWISE_CACHE=tmp_path / "cache", CXX=slow) == [
        by_python, "Python InPython"]
    assert time.monotonic() - begin < 40 and (tmp_path / "started").exists()
    assert not list((tmp_path / "cache").iterdir()) and not (tmp_path / "finished").exists()


# Hazard: a cache that others may write holds somebody else's code.
def test_nothing_is_loaded_from_a_cache_that_others_may_write(cache: Path, by_python: str) -> None:
    cache.chmod(0o777)
    try:
        assert python(STEPS, 5, 1, LAYERWISE_TORCH_LIBRARY=None, LAYERWISE_CACHE=cache) == [
            by_python, "Python InPython"]
    finally:
        cache.chmod(0o700)
