"""layerwise.torch beside timm's NvNovoGrad itself, apex's LARC written out from its formula, and torch.optim.SGD."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, Network, NovoGrad, backward, train

import layerwise.torch

torch = torch_models.torch

STEPS = 100


def nv_novograd() -> Any:
    """timm's class, from its two files alone: the package's own import needs torchvision."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        pytest.skip("timm is not installed")
    folder = Path(found.origin).parent / "optim"
    package = ModuleType("timm_optim")
    package.__path__ = [str(folder)]
    sys.modules["timm_optim"] = package
    spec = importlib.util.spec_from_file_location("timm_optim.nvnovograd", folder / "nvnovograd.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NvNovoGrad


def distance(first: Any, second: Any) -> float:
    """The largest |a - b| / |b| over the layers."""
    return max(float((a.double() - b.double()).norm() / b.double().norm()) for a, b in _detached(first, second))


def distance_of_all(first: Any, second: Any) -> float:
    """|a - b| / |b|, all layers as one vector."""
    pairs = _detached(first, second)
    squares = [(float((a.double() - b.double()).square().sum()), float(b.double().square().sum())) for a, b in pairs]
    return float((sum(a for a, _ in squares) / sum(b for _, b in squares)) ** 0.5)


def _detached(first: Any, second: Any) -> list[tuple[Any, Any]]:
    return [(a.detach(), b.detach()) for a, b in zip(first, second, strict=True)]


def trained(make: Any, steps: int = STEPS) -> tuple[Any, Any]:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(steps))
    return network, optimizer


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"grad_averaging": True, "betas": (0.9, 0.25)}],
                         ids=["defaults", "amsgrad", "averaging"])
def test_novograd_follows_timms_for_a_hundred_steps(options: Any) -> None:
    """All weights as one vector agree to 1e-6. A single small bias moves by more than that through timm's own rounding:
    so layer by layer ours is held to timm's run in float64, at most twice as far from it as timm's float32 run is."""
    make = nv_novograd()
    theirs, _ = trained(lambda params: make(params, lr=0.003, weight_decay=0.001, **options))
    ours, _ = trained(lambda params: NovoGrad(params, lr=0.003, **options))
    exact = Network().double()
    train(exact, make(exact.parameters(), lr=0.003, weight_decay=0.001, **options), range(STEPS))
    assert distance_of_all(theirs.parameters(), Network().parameters()) > 0.01, "they have hardly moved"
    assert distance_of_all(ours.parameters(), theirs.parameters()) < 1e-6
    rounding = distance(theirs.parameters(), exact.parameters())
    assert distance(ours.parameters(), exact.parameters()) < 2 * rounding


def apex_step(parameters: list[Any], buffers: list[Any], lr: float, tc: float, clip: bool, decay: float) -> None:
    """apex's LARC and torch's SGD in float64, from the formulas: r = tc w/(g + wd w + eps), clip min(r/lr, 1),
    g <- r (g + wd w); a tensor of zero norm is untouched, undecayed too."""
    for parameter, buffer in zip(parameters, buffers, strict=True):
        w, g = parameter.detach().double(), parameter.grad.double()
        if w.norm() != 0 and g.norm() != 0:
            r = tc * w.norm() / (g.norm() + decay * w.norm() + 1e-8)
            g = (torch.clamp(r / lr, max=1.0) if clip else r) * (g + decay * w)
        buffer.mul_(0.9).add_(g)
        parameter.data = w - lr * buffer


@pytest.mark.parametrize("clip", [True, False], ids=["clip", "scale"])
def test_larc_with_apexs_options_has_apexs_semantics(clip: bool) -> None:
    options = {"trust_coefficient": 0.02, "clip": clip, "fold_weight_decay": True, "zero_norm": "untouched"}
    reference = Network().double()
    torch.nn.init.zeros_(reference.output.bias)
    wrapped, fused = (copy.deepcopy(reference).float() for _ in range(2))
    lr, decay = (0.05 if clip else 1.0), 0.01
    inner = torch.optim.SGD(wrapped.parameters(), lr, 0.9, weight_decay=decay)
    ours = [(wrapped, LARC(inner, **options)),
            (fused, LARCSGD(fused.parameters(), lr, weight_decay=decay, **options))]
    buffers = [torch.zeros_like(parameter) for parameter in reference.parameters()]
    for step in range(20):
        reference.zero_grad()
        backward(reference, step)
        apex_step(list(reference.parameters()), buffers, lr, 0.02, clip, decay)
        for network, optimizer in ours:
            optimizer.zero_grad()
            backward(network, step)
            optimizer.step()
    assert inner.param_groups[0]["weight_decay"] == decay, "the inner optimizer has its decay back"
    for network, _ in ours:
        assert distance(network.parameters(), reference.parameters()) < 5e-6


def test_larcsgd_that_skips_larc_is_torchs_sgd() -> None:
    for options in ({}, {"nesterov": True}, {"dampening": 0.3}, {"momentum": 0.0}):
        options = {"momentum": 0.9, "weight_decay": 0.01, **options}
        theirs, _ = trained(lambda params, options=options: torch.optim.SGD(params, 0.05, **options))
        ours, _ = trained(lambda params, options=options: LARCSGD(params, 0.05, skip_larc=True, **options))
        assert distance(ours.parameters(), theirs.parameters()) < 2e-6, options


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["novograd", "larcsgd"])
def test_low_precision_parameters_round_the_float64_result(dtype: str, kind: str) -> None:
    """From equal weights and moments one step is the float64 formula, rounded once to the parameter's dtype."""
    torch.manual_seed(0)
    weights = [torch.randn(40, 30).to(getattr(torch, dtype)), torch.randn(30).to(getattr(torch, dtype))]
    parameters = [torch.nn.Parameter(weight.clone()) for weight in weights]
    optimizer = NovoGrad(parameters, 0.1) if kind == "novograd" else LARCSGD(parameters, 0.1, trust_coefficient=0.02)
    moments = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
    seconds = [0.0, 0.0]
    for step in range(10):
        before = [parameter.detach().double() for parameter in parameters]
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape).to(parameter.dtype)
        optimizer.step()
        for i, parameter in enumerate(parameters):
            w, g = before[i], parameter.grad.double()
            if kind == "novograd":
                square = float(g.square().sum())
                seconds[i] = square if step == 0 else 0.98 * seconds[i] + 0.02 * square
                moments[i] = 0.95 * moments[i] + g / (seconds[i] ** 0.5 + 1e-8) + 0.001 * w
            else:
                moments[i] = 0.9 * moments[i] + min(0.02 * w.norm() / g.norm() / 0.1, 1) * g
            exact = w - 0.1 * moments[i]
            spacing = torch.finfo(parameter.dtype).eps * exact.abs().clamp(min=torch.finfo(parameter.dtype).tiny)
            error = (parameter.detach().double() - exact).abs()
            assert (error <= 0.5 * spacing + 1e-5 * exact.abs().max() * 0.1).all()
    state = optimizer.state[parameters[0]]
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


# ---- Checkpoints -----------------------------------------------------------------------------------------------------


def test_timms_checkpoint_goes_on_here_and_back_there() -> None:
    make = nv_novograd()
    options = {"lr": 0.003, "weight_decay": 0.01, "betas": (0.9, 0.9)}
    straight, _ = trained(lambda params: make(params, **options))
    network, theirs = trained(lambda params: make(params, **options), 40)
    ours = NovoGrad(network.parameters(), lr=1.0)
    layerwise.torch.load_timm_state_dict(ours, theirs.state_dict())
    assert ours.param_groups[0]["lr"] == 0.003 and ours.param_groups[0]["betas"] == (0.9, 0.9)
    train(network, ours, range(40, 70))
    again = make(network.parameters(), lr=1.0)
    again.load_state_dict(layerwise.torch.timm_state_dict(ours))
    assert again.state[network.output.bias]["step"] == 70
    train(network, again, range(70, STEPS))
    assert distance(network.parameters(), straight.parameters()) < 1e-6


def apex_checkpoint(network: Any, gradients: dict[str, Any]) -> dict[str, Any]:
    """A state dict in the layout of apex's FusedNovoGrad, after the gradients' parameters have had three steps."""
    norms: dict[Any, list[float]] = {torch.float16: [], torch.float32: []}
    state = {}
    for index, (name, parameter) in enumerate(network.named_parameters()):
        if name in gradients:
            norms[parameter.dtype].append(gradients[name])
            state[index] = {"exp_avg": torch.full_like(parameter, 0.25)}
    group = {"lr": 0.02, "bias_correction": True, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1,
             "grad_averaging": True, "norm_type": 2, "init_zero": True, "step": 3,
             "exp_avg_sq": [torch.tensor(norms[torch.float16]), torch.tensor(norms[torch.float32])],
             "params": list(range(len(list(network.parameters()))))}
    return {"state": state, "param_groups": [group]}


def test_apexs_norms_become_squares_in_the_order_of_the_parameters_that_had_gradients() -> None:
    network = Network()
    network.hidden.half()
    norms = {"convolution.weight": 2.0, "hidden.weight": 3.0, "hidden.bias": 5.0, "output.weight": 7.0}
    checkpoint = apex_checkpoint(network, norms)
    optimizer = NovoGrad(network.parameters(), lr=1.0, decoupled_weight_decay=True)
    layerwise.torch.load_apex_state_dict(optimizer, copy.deepcopy(checkpoint))
    named = dict(network.named_parameters())
    for name, norm in norms.items():
        state = optimizer.state[named[name]]
        assert state["second_moment"] == norm**2 and state["step"] == 3
        assert state["first_moment"].dtype == torch.float32 and (state["first_moment"] == 0.25).all()
    assert not optimizer.state.get(named["output.bias"])
    assert optimizer.param_groups[0]["decoupled_weight_decay"] and not optimizer.param_groups[0]["seed_second_moment"]
    back = layerwise.torch.apex_state_dict(optimizer)
    assert back["state"].keys() == checkpoint["state"].keys()
    assert all(torch.equal(back["state"][key]["exp_avg"], value["exp_avg"])
               for key, value in checkpoint["state"].items())
    theirs, ours = checkpoint["param_groups"][0], back["param_groups"][0]
    assert all(torch.equal(a, b) for a, b in zip(ours.pop("exp_avg_sq"), theirs.pop("exp_avg_sq"), strict=True))
    assert ours == theirs


def test_an_apex_checkpoint_goes_on_with_apexs_formula() -> None:
    """By hand: n = sqrt(.999*4 + .001*1), d = n/sqrt(1 - .999^4) + eps; m = .9*.25 + .1*g;
    w -= lr*(m/(1 - .9^4)/d + wd*w)."""
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = NovoGrad([parameter], lr=1.0, decoupled_weight_decay=True)
    module = torch.nn.ParameterList([parameter])
    layerwise.torch.load_apex_state_dict(optimizer, apex_checkpoint(module, {"0": 2.0}))
    parameter.grad = torch.full((4,), 0.5)
    optimizer.step()
    d = (0.999 * 4 + 0.001) ** 0.5 / (1 - 0.999**4) ** 0.5 + 1e-8
    expected = 1 - 0.02 * ((0.9 * 0.25 + 0.1 * 0.5) / (1 - 0.9**4) / d + 0.1)
    torch.testing.assert_close(parameter.detach(), torch.full((4,), expected), rtol=1e-6, atol=0)


def test_what_the_other_layout_cannot_hold_is_refused() -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    for options, name in (({"norm": "inf"}, "norm"), ({"maximize": True}, "maximize"), ({"lr_mult": 2.0}, "lr_mult")):
        with pytest.raises(ValueError, match=name):
            layerwise.torch.timm_state_dict(NovoGrad([parameter], 0.1, **options))
    with pytest.raises(ValueError, match="amsgrad"):
        layerwise.torch.apex_state_dict(NovoGrad([parameter], 0.1, amsgrad=True))
    short = apex_checkpoint(torch.nn.ParameterList([parameter]), {"0": 2.0})
    short["param_groups"][0]["exp_avg_sq"][1] = torch.zeros(2)
    with pytest.raises(ValueError, match="norms more"):
        layerwise.torch.load_apex_state_dict(NovoGrad([parameter], 0.1), short)
