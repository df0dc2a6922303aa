"""The 61 configurations that OpenSeq2Seq publishes (commit 8681d381), whole: what each gives.

openseq2seq/files.json holds what they say of training, and the names of the other keys that any of them has; each is
tried with all of these. The loss scale is held to the algorithm's description by hand.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing

import layerwise

torch = torch_models.torch
TABLE = json.loads((Path(__file__).resolve().parent / "openseq2seq" / "files.json").read_text())
FILES = TABLE["files"]


class TensorFlows:
    """A class or function of the original, of which the name is known."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


def base_params(row: Any) -> dict[str, Any]:
    said = {key: TensorFlows(*value.values()) if isinstance(value, dict) and set(value) <= {"class", "function"}
            and value else value for key, value in row.items() if key not in ("file", "gives")}
    return {**dict.fromkeys(TABLE["other_keys"], object()), **said}


def kind(optimizer: Any) -> str:
    name = type(optimizer).__name__
    return f"LARC({kind(optimizer.optimizer)})" if name == "LARC" else name


def test_there_are_61() -> None:
    assert len(FILES) == 61 == len({row["file"] for row in FILES})


@pytest.mark.parametrize("as_run", [False, True], ids=["as said", "as run"])
@pytest.mark.parametrize("row", FILES, ids=lambda row: row["file"])
def test_a_published_file_gives_its_optimizer_its_schedule_and_its_loss_scale(row: Any, as_run: bool) -> None:
    config = base_params(row)
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer: Any = layerwise.from_openseq2seq(config, [("weight", weight)], as_run=as_run)
    assert kind(optimizer) == row["gives"]
    scheduler = layerwise.schedule_from_openseq2seq(config, optimizer, steps_per_epoch=500)
    rate = layerwise.openseq2seq_schedule(config, steps_per_epoch=500)
    for step in range(3):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate(step), rel=1e-12)
        weight.grad = torch.tensor([0.6, 0.8])
        optimizer.step()
        scheduler.step()
    assert math.isfinite(float(weight.detach().sum())) and not weight.detach().equal(torch.tensor([3.0, 4.0]))
    scaler = layerwise.scaler_from_openseq2seq(config, "cpu")
    assert scaler.is_enabled() == (row.get("dtype") == "mixed")
    assert scaler.get_scale() == (1.0 if row.get("dtype") != "mixed" else
                                  {"Backoff": 2.0**14, 512.0: 512.0, None: 1.0}[row.get("loss_scaling")])


def scales(scaler: Any, overflows: list[bool]) -> list[float]:
    """The scale after each step."""
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.SGD([weight], 0.1)
    found = []
    for overflow in overflows:
        optimizer.zero_grad()
        scaler.scale((weight * 0.5).sum()).backward()
        if overflow:
            weight.grad[0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
        found.append(scaler.get_scale())
    assert weight.detach().isfinite().all()
    return found


def test_backoff_halves_at_an_overflow_and_doubles_after_a_window_within_its_bounds() -> None:
    config = {"dtype": "mixed", "loss_scaling": "Backoff",
              "loss_scaling_params": {"scale_min": 4.0, "scale_max": 16.0, "step_window": 2}}
    got = scales(layerwise.scaler_from_openseq2seq(config, "cpu"), [False] * 3 + [True] * 3 + [False] * 6)
    assert got == [16, 16, 16, 8, 4, 4, 4, 8, 8, 16, 16, 16]


def test_a_scale_that_is_a_number_stays() -> None:
    config = {"dtype": "mixed", "loss_scaling": 512.0}
    assert scales(layerwise.scaler_from_openseq2seq(config, "cpu"), [False, True, False]) == [512.0] * 3


def test_without_mixed_precision_nothing_is_scaled() -> None:
    config = {"dtype": "float32", "loss_scaling": 512.0}
    assert scales(layerwise.scaler_from_openseq2seq(config, "cpu"), [False, False]) == [1.0, 1.0]


@pytest.mark.parametrize(("change", "text"), [
    ({"loss_scaling": "LogMax"}, "loss_scaling is 'LogMax': it must be a number or 'Backoff'"),
    ({"loss_scaling": 0.0}, "loss_scaling is 0.0: it must be a finite number, positive"),
    ({"loss_scaling_params": {"window": 1}}, "loss_scaling_params has unknown keys: 'window'"),
    ({"loss_scaling_params": {"scale_max": 0.5}}, "scale_max is 0.5"),
    ({"loss_scaling_params": {"step_factor": 1.0}}, "step_factor is 1.0"),
    ({"loss_scaling_params": {"step_window": 0}}, "step_window is 0")])
def test_a_loss_scale_that_cannot_be_had_is_refused_by_name(change: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        layerwise.scaler_from_openseq2seq({"dtype": "mixed", "loss_scaling": "Backoff", **change}, "cpu")
