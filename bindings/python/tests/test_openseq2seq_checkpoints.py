"""A run of OpenSeq2Seq goes on here from its own checkpoint, without TensorFlow.

openseq2seq/checkpoints.json holds what was in two of them after 10 steps (TensorFlow 1.15.5), and the weights of the
same runs after 15.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from tensor_bundle import write_checkpoint

import layerwise
from layerwise._tensor_bundle import read_checkpoint

torch = torch_models.torch
RUNS = json.loads((Path(__file__).resolve().parent / "openseq2seq" / "checkpoints.json").read_text())
VARIABLES = {"conv1.weight": "ForwardPass/enc/conv1/kernel", "conv1.bias": "ForwardPass/enc/conv1/bias",
             "fc.weight": "ForwardPass/dec/fc/kernel", "fc.bias": "ForwardPass/dec/fc/bias"}


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.fc = torch.nn.Conv1d(4, 5, 3), torch.nn.Linear(5, 3)

    def forward(self, inputs: Any) -> Any:
        return self.fc(torch.relu(self.conv1(inputs.transpose(1, 2))).mean(2))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Any:
    def write(name: str) -> Path:
        write_checkpoint(tmp_path / "model-10", {key: np.array(values, dtype).reshape(shape) for key, (
            dtype, shape, values) in RUNS[name]["checkpoint"].items()})
        return tmp_path / "model-10"
    return write


def expected(name: str) -> dict[str, Any]:
    """After 15 steps, in torch's order of axes."""
    shapes = {"conv1.weight": (3, 4, 5), "conv1.bias": (5,), "fc.weight": (5, 3), "fc.bias": (3,)}
    return {key: np.float32(RUNS[name]["expected"][VARIABLES[key].removeprefix("ForwardPass/")]).reshape(shape).T
            for key, shape in shapes.items()}


def gone_on(name: str, prefix: Any) -> dict[str, Any]:
    """Five steps more. Mixed: gradients of a float16 copy of the weights, of the scaled loss."""
    config, network = RUNS[name]["config"], Network()
    mixed = config.get("dtype") == "mixed"
    optimizer = layerwise.from_openseq2seq(config, network.named_parameters(), as_run=True)
    state = layerwise.torch.state_from_openseq2seq(prefix, optimizer, VARIABLES)
    assert state.step == 10 and state.scale == (2.0**14 if mixed else None)
    network.load_state_dict(state.model)
    optimizer.load_state_dict(state.optimizer)
    scheduler = layerwise.schedule_from_openseq2seq(config, optimizer, steps_taken=state.step)
    inputs, targets = (torch.tensor(RUNS[key]).reshape(RUNS[f"{key}_shape"]) for key in ("inputs", "targets"))
    copy = Network().half() if mixed else network
    for batch, target in zip(inputs.half() if mixed else inputs, targets, strict=True):
        if mixed:
            copy.load_state_dict(network.state_dict())
        copy.zero_grad()
        (torch.nn.functional.mse_loss(copy(batch).float(), target) * (state.scale or 1.0)).backward()
        for parameter, source in zip(network.parameters(), copy.parameters(), strict=True):
            parameter.grad = source.grad.float() / (state.scale or 1.0)
        optimizer.step()
        scheduler.step()
    return {key: parameter.detach().numpy() for key, parameter in network.named_parameters()}


@pytest.mark.parametrize(("name", "bound"), [("novograd", 1e-6), ("momentum-larc-mixed", 3e-6)])
def test_a_run_goes_on_as_if_it_had_stayed(name: str, bound: float, checkpoint: Any) -> None:
    """The mixed one to the roundings of float16 gradients, 5e-4 of a way of .0034."""
    got = gone_on(name, checkpoint(name))
    for key, weights in expected(name).items():
        assert np.abs(got[key] - weights).max() <= bound, key


def test_a_checkpoint_is_read_by_its_names(checkpoint: Any) -> None:
    arrays = read_checkpoint(f"{checkpoint('momentum-larc-mixed')}.index")
    assert arrays["global_step"] == 10 and arrays["global_step"].dtype == np.int64
    kernel = arrays["ForwardPass/enc/conv1/kernel"]
    master = arrays["Loss_Optimization/FP32-master-copy/ForwardPass/enc/conv1/kernel"]
    assert kernel.dtype == np.float16 and kernel.shape == master.shape == (3, 4, 5)
    assert np.array_equal(master.astype(np.float16), kernel)


def test_the_state_is_the_originals(checkpoint: Any) -> None:
    """Momentum as it is, its axes turned with the kernel's; second moments 0, as there; rates are the optimizer's."""
    optimizer: Any = layerwise.from_openseq2seq(
        {"optimizer": "NovoGrad", "larc_params": {"larc_eta": 0.001}}, Network().named_parameters(), 0.125)
    state = layerwise.torch.state_from_openseq2seq(checkpoint("novograd"), optimizer, VARIABLES.__getitem__)
    moment = read_checkpoint(checkpoint("novograd"))["Loss_Optimization/ForwardPass/enc/conv1/kernel/NovoGrad"]
    more = layerwise.torch.state_from_openseq2seq(
        checkpoint("novograd"), optimizer, {**VARIABLES, "bn.running_mean": "ForwardPass/dec/fc/bias"})
    assert set(more.model) == {*VARIABLES, "bn.running_mean"} and set(state.model) == set(VARIABLES)
    assert not optimizer.state and state.optimizer["param_groups"][0]["lr"] == 0.125
    optimizer.load_state_dict(state.optimizer)
    first = optimizer.state[optimizer.param_groups[0]["params"][0]]
    assert np.array_equal(first["first_moment"].numpy(), moment.transpose(2, 1, 0))
    assert int(first["step"]) == 10 and float(first["second_moment"]) == 0


def test_the_command_lists_names_and_shapes(checkpoint: Any) -> None:
    def run(prefix: Any) -> Any:
        return subprocess.run([sys.executable, "-m", "layerwise.from_tf", str(prefix)], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    listed = run(checkpoint("momentum-larc-mixed")).stdout.splitlines()
    assert "ForwardPass/enc/conv1/kernel  float16  [3, 4, 5]" in listed and "global_step  int64  []" in listed
    missing = run("missing")
    assert missing.returncode != 0 and missing.stderr.startswith("layerwise.from_tf: ")


@pytest.mark.parametrize(("variables", "text"), [
    ({**VARIABLES, "fc.bias": None}, "variables lacks 'fc.bias'"),
    ({**VARIABLES, "fc.bias": "ForwardPass/dec/bias"}, "the checkpoint has no 'ForwardPass/dec/bias'; it has 'Forward"),
    ({**VARIABLES, "fc.weight": "ForwardPass/enc/conv1/kernel"}, r"\(3, 4, 5\), \(5, 4, 3\) in torch's order of axes")])
def test_names_and_shapes_that_do_not_fit_are_refused(variables: Any, text: str, checkpoint: Any) -> None:
    optimizer = layerwise.torch.NovoGrad(Network().named_parameters(), 0.1)
    with pytest.raises(ValueError, match=text):
        layerwise.torch.state_from_openseq2seq(checkpoint("novograd"), optimizer, variables)


def test_optimizers_that_are_not_read_are_refused(checkpoint: Any) -> None:
    for optimizer, text in ((torch.optim.Adam(Network().named_parameters()), "optimizer is a Adam"),
                            (layerwise.torch.NovoGrad(Network().parameters(), 0.1), "parameters have no names"),
                            (layerwise.torch.LARCSGD(Network().named_parameters(), 0.1), "has no '.*kernel/Momentum'")):
        with pytest.raises(ValueError, match=text):
            layerwise.torch.state_from_openseq2seq(checkpoint("novograd"), optimizer, VARIABLES)


@pytest.mark.parametrize(("suffix", "length", "text"), [
    (".index", 300, "is no index of a TensorFlow checkpoint"), (".data-00000-of-00001", 100, "the file is cut short")])
def test_files_that_are_cut_short_are_refused(suffix: str, length: int, text: str, checkpoint: Any) -> None:
    path = Path(f"{checkpoint('novograd')}{suffix}")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=text):
        read_checkpoint(path.parent / "model-10")


def test_a_checkpoint_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing.index"):
        read_checkpoint(tmp_path / "missing")
