"""What training frameworks ask of an optimizer, assign to it, and set around it."""

from __future__ import annotations

import collections
import copy
import pickle
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, MAKERS, Network, NovoGrad, backward, each_optimizer, same_bits, train, twins

import layerwise.torch
from layerwise.torch._memory import CudaMemory

torch = torch_models.torch

# ---- Gradients that are unscaled in the step, or before it -----------------------------------------------------------


@each_optimizer
def test_clipping_scaled_gradients_clips_the_true_ones(make: Any) -> None:
    """The loop of torch's documentation; powers of two scale without rounding, so the bits are the unscaled run's."""
    network, optimizer, twin, other = twins(make)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    for step in range(3):
        for each, its in ((network, optimizer), (twin, other)):
            its.zero_grad()
            scaled = each is network
            scaler.scale(torch.ones(()))  # makes the scale's tensor
            backward(each, step, scaler.get_scale() if scaled else 1.0)
            if scaled:
                scaler.unscale_(its)
            torch.nn.utils.clip_grad_norm_(each.parameters(), 0.5)
            scaler.step(its) if scaled else its.step()
        scaler.update()
        assert same_bits(network, twin), step


def test_unscaling_in_the_step_is_asked_for_and_survives_copies() -> None:
    """GradScaler and Lightning look at _step_supports_amp_scaling; Lightning clips no gradients where it is true."""
    network = Network()
    for make in (NovoGrad, LARCSGD):
        assert not make(network.parameters(), 0.1)._step_supports_amp_scaling
        optimizer = make(network.parameters(), 0.1, unscale_in_step=True)
        for each in (optimizer, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer)), LARC(optimizer)):
            assert each._step_supports_amp_scaling is True
        optimizer.load_state_dict(make(network.parameters(), 0.1).state_dict())
        assert optimizer._step_supports_amp_scaling is True


@pytest.mark.parametrize("make", [MAKERS["NovoGrad"], MAKERS["LARCSGD"], MAKERS["LARC(NovoGrad)"]])
def test_lightning_clips_gradients(make: Any) -> None:
    precision = pytest.importorskip("lightning.pytorch.plugins.precision", reason="Lightning is not installed")
    network = Network()
    backward(network, 0)
    optimizer = make(network.parameters())
    plugin = precision.MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
    plugin.clip_gradients(optimizer, clip_val=0.25)
    norm = torch.stack([p.grad.square().sum() for p in network.parameters()]).sum().sqrt()
    assert norm == pytest.approx(0.25, rel=1e-4)


# ---- Attributes of LARC are the inner optimizer's --------------------------------------------------------------------


def test_what_is_assigned_to_larc_reaches_the_inner_optimizer() -> None:
    network = Network()
    inner = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    optimizer = LARC(inner)
    state: Any = collections.defaultdict(dict)
    groups = [{**inner.param_groups[0], "lr": 0.5, "skip_larc": torch.tensor([True] * len(list(network.parameters())))}]
    defaults = {**inner.defaults, "lr": 0.25}
    optimizer.state, optimizer.param_groups, optimizer.defaults = state, groups, defaults
    optimizer._step_supports_amp_scaling = False
    assert inner.state is state and inner.param_groups is groups and inner.defaults is defaults
    assert inner._step_supports_amp_scaling is False
    assert groups[0]["skip_larc"] == (True,) * len(groups[0]["params"])


def test_larc_steps_as_the_groups_that_were_assigned_say() -> None:
    """The right value is a LARC that was made with them."""
    first, second = Network(), Network()
    optimizer = MAKERS["LARC"](first.parameters())
    train(first, optimizer, range(2))
    second.load_state_dict(first.state_dict())
    optimizer.param_groups = [{**optimizer.param_groups[0], "lr": 0.02, "skip_larc": [True] * 8}]
    optimizer.state = collections.defaultdict(dict)
    other = LARC(torch.optim.SGD([{"params": list(second.parameters()), "skip_larc": True}], 0.02, momentum=0.9,
                                 weight_decay=1e-4))
    train(first, optimizer, range(2, 4))
    train(second, other, range(2, 4))
    assert same_bits(first, second)


# ---- Defaults that are set around an optimizer -----------------------------------------------------------------------


def everything(name: str, network: Any, gradients: Any) -> Any:
    """Whatever makes tensors, once."""
    make = {"NovoGrad": lambda p: NovoGrad(p, 0.01, amsgrad=True, capturable=True, flatten=True, bias_correction=True),
            "LARCSGD": lambda p: LARCSGD(p, 0.1, lr_mult=[0.5] * 8, capturable=True, flatten=True, dampening=0.1),
            "LARC": lambda p: LARC(torch.optim.SGD([{"params": list(p), "skip_larc": [False] * 8}], 0.1)),
            "lr is a number": lambda p: NovoGrad(p, 0.01, second_moment_dtype="float64")}[name]
    optimizer = make(network.parameters())
    for each in gradients:
        for parameter, gradient in zip(network.parameters(), each, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        other = make(network.parameters())
        other.load_state_dict(optimizer.state_dict())
        optimizer = other
    saved = copy.deepcopy(optimizer.state_dict())
    if name != "LARC":
        for values in saved["state"].values():  # as from JSON
            values.update({key: value.item() for key, value in values.items() if value.dim() == 0})
        optimizer.load_state_dict(saved)
        assert optimizer.flat_weights or name == "lr is a number"
    if name == "lr is a number":
        layerwise.torch.apex_state_dict(optimizer)
        layerwise.torch.load_timm_state_dict(optimizer, layerwise.torch.timm_state_dict(optimizer))
        layerwise.torch.apex_state_dict(NovoGrad(network.parameters(), 0.01))
    assert optimizer.layer_stats() is not None and optimizer.nonfinite_layers() == 0
    return list(network.parameters()), optimizer.state_dict()["state"]


@pytest.mark.parametrize("default", [torch.device("meta"), torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["NovoGrad", "LARCSGD", "LARC", "lr is a number"])
def test_the_default_device_and_dtype_change_nothing(name: str, default: Any) -> None:
    """torch.set_default_device moves every tensor whose maker does not name a device; the right value is without."""
    gradients = [[torch.randn(p.shape, generator=torch.Generator().manual_seed(step)) for p in Network().parameters()]
                 for step in range(2)]
    network, twin = Network(), Network()
    weights, state = everything(name, twin, gradients)
    is_device = isinstance(default, torch.device)
    try:
        torch.set_default_device(default) if is_device else torch.set_default_dtype(default)
        found, its = everything(name, network, gradients)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(found, weights, strict=True))
    for key, values in state.items():
        for entry, value in values.items():
            there = its[key][entry]
            assert not isinstance(value, torch.Tensor) or (
                torch.equal(there, value) and there.dtype is value.dtype and there.device == value.device), entry


def test_page_locked_tables_are_made_on_the_host() -> None:
    """Under a default device of cuda torch would make them there, where nothing can be pinned."""
    asked: list[str] = []

    class Recorder(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if kwargs.pop("pin_memory", False) or "device" in kwargs:
                asked.append(str(kwargs.get("device", "its source's")))
            if "device" in kwargs:
                kwargs["device"] = "cpu"
            return function(*args, **kwargs)

    memory = CudaMemory(torch.device("cpu"))
    memory.stream = lambda: 0  # type: ignore[method-assign]
    with Recorder(), torch.device("cuda:0"):
        for capturing in (False, True, True):
            memory.capturing = lambda capturing=capturing: capturing  # type: ignore[method-assign]
            memory.tables([[1, 2], [3, 4]])
    assert asked and not any("cuda" in device for device in asked)
