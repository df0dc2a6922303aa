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


def started(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-B", PACKAGE / "examples" / script, *map(str, arguments)], text=True,
                          env=environment, capture_output=True, timeout=300)


def run(script: str, *arguments: object) -> str:
    done = started(script, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(script: str, *arguments: object) -> str:
    """What it says; nothing was trained."""
    done = started(script, *arguments)
    assert done.returncode == 2 and not done.stdout, done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


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


def test_what_has_no_factors_is_refused_before_it_trains(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    table = tmp_path / "factors.csv"
    assert "sgd has no factors of layers" in refused("train_torch.py", "--optimizer", "sgd", "--factors", table)
    assert "does not go with --compare" in refused("train_torch.py", "--compare", "--factors", table)
    assert not table.exists()


def test_factors_are_drawn_where_matplotlib_is_and_else_it_is_named(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    picture = tmp_path / "larc.svg"
    if importlib.util.find_spec("matplotlib") is None:
        said = refused("train_torch.py", "--plot", picture)
        assert "matplotlib is not installed (pip install matplotlib); --factors writes the same" in said
        pytest.skip("matplotlib is not installed: its absence is said, the picture was not drawn")
    assert f"wrote {picture}" in run("train_torch.py", "--optimizer", "larc", "--steps", 3, "--plot", picture)
    drawn = picture.read_text()
    for words in ("larc on digits", "effective learning rate", "0.weight", "8.bias"):
        assert f"<!-- {words} -->" in drawn, words  # SVG draws letters, and says them in comments
    assert "has no ending of a picture" in refused("train_torch.py", "--plot", tmp_path / "larc.xyz")
    assert "is no folder" in refused("train_torch.py", "--plot", tmp_path / "nowhere" / "larc.png")


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
