"""The training scripts of examples/, in small: each trains, stops, goes on with the bits of a run without a stop, and
compares optimizers."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
NEEDS = {"train_torch.py": "torch", "train_jax.py": "jax"}


@pytest.fixture(params=NEEDS)
def script(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(NEEDS[request.param]) is None:
        pytest.skip(f"{NEEDS[request.param]} is not installed")
    return str(request.param)


def run(script: str, *arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-B", PACKAGE / "examples" / script, *map(str, arguments)], text=True,
                          env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_network_learns_and_a_run_that_was_stopped_ends_as_one_that_was_not(script: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / ("run.npz" if "jax" in script else "run.pt")
    common = "--optimizer", "larc" if "jax" in script else "novograd", "--steps", 60, "--amp", "--clip", 1
    run(script, *common, "--checkpoint", checkpoint, "--stop-after", 25)
    resumed = run(script, *common, "--checkpoint", checkpoint)
    assert "goes on after step 25" in resumed
    whole = run(script, *common).splitlines()[-1]
    assert resumed.splitlines()[-1] == whole  # the test set's loss
    assert float(re.search(r"test: loss .*, (\S+) right", whole)[1]) > 0.6  # type: ignore[index]  # of ten classes


def test_every_optimizer_is_compared_at_equal_budget(script: str) -> None:
    printed = run(script, "--compare", "--steps", 3, "--rates", 1, "--seeds", 2)
    assert "3 steps of 128, 1 learning rates each, 2 seeds" in printed
    rows = dict(re.findall(r"^(\w+) +(\S.*)$", printed, re.M))
    assert {"novograd", "larc", "adamw", "sgd"} <= rows.keys()


def test_factors_of_every_layer_are_written_step_by_step(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    table = tmp_path / "factors.csv"
    run("train_torch.py", "--optimizer", "larc", "--steps", 2, "--factors", table)
    header, *rows = table.read_text().split()
    assert header == "step,layer,factor,effective_lr" and len(rows) == 2 * 10 and rows[0].startswith("1,0.weight,")


def test_text_trains_too() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    assert "test: loss" in run("train_torch.py", "--task", "text", "--steps", 2, "--optimizer", "sgd")


def test_the_guide_prints_and_writes_its_tables(tmp_path: Path) -> None:
    guide = PACKAGE.parents[1] / "bench" / "guide.d" / "guide.py"
    if importlib.util.find_spec("torch") is None or not guide.is_file():
        pytest.skip("torch is not installed, or no checkout is around this folder")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-B", guide, "--steps", "1", "--seeds", "1", "--parts", "decay"], text=True,
                          env=environment, capture_output=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^novograd, lr 0.03 +(0\.\d{3} *){6}$", done.stdout, re.M)
    assert len((tmp_path / "build/guide/decay.csv").read_text().splitlines()) == 1 + 18
