"""layerwise.torch.like beside the peers themselves, where their packages are: more of their arguments than peers/ has.

Right values: a float32 run of the peer's own class in this process, 20 steps on the layers and gradients of peers/,
under a constant rate, one in steps, and a warm-up from exactly 0. Packages that do not import whole are loaded by the
one file.
The bound is that of test_torch_like.
"""

from __future__ import annotations

import collections
import collections.abc
import copy
import functools
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from test_torch_like import BOUND, PROBLEM, run_of

import layerwise.torch

torch = torch_models.torch

STEPS = 20
LAYERS = {layer["name"]: layer["shape"] for layer in run_of("timm.Lars-lars")["layers"]}
FLAT = ("bn1.weight", "bn1.bias", "fc.bias")
SCHEDULES: dict[str, Callable[[int], float]] = {
    "constant": lambda step: 1.0,
    "steps": lambda step: 0.3 ** (step // 7),
    "warm-up": lambda step: min(step / 5, 1.0),
}


def of_file(path: str, name: str, **stubs: Any) -> Any:
    """A class from one file of a package, which need not import whole. stubs: modules that the file imports."""
    package, _, rest = path.partition(".")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    file = Path(next(iter(found.submodule_search_locations)), *rest.split(".")).with_suffix(".py")
    folder = ModuleType(f"one_file_of_{package}")
    folder.__path__ = [str(file.parent)]
    kept = {module: sys.modules.get(module) for module in stubs}
    sys.modules[folder.__name__] = folder
    try:
        for module, contents in stubs.items():
            sys.modules[module] = ModuleType(module)
            vars(sys.modules[module]).update(contents)
        spec = importlib.util.spec_from_file_location(f"{folder.__name__}.{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        for stub, before in kept.items():
            if before is None:
                del sys.modules[stub]
            else:
                sys.modules[stub] = before
    return getattr(module, name)


def whole(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(pytest.importorskip(module), name)


class Registry:
    def register_module(self) -> Any:
        return lambda kind: kind


def mm_registry() -> Any:
    return {"OPTIMIZERS": Registry()}


def around(wrapper: Any) -> Any:
    """A wrapper's class as one of parameters: the inner optimizer from a dictionary."""
    def make(params: Any, optimizer: Any, **arguments: Any) -> Any:
        inner = getattr(torch.optim, optimizer["class"].rpartition(".")[2])(params, **optimizer["arguments"])
        return wrapper(inner, **arguments)

    return make


def fastai(params: Any, **arguments: Any) -> Any:
    basics = {**vars(collections), **vars(collections.abc), **vars(functools),
              **vars(pytest.importorskip("fastcore.all")), "torch": torch,
              "nn": torch.nn, "Tensor": torch.Tensor, "math": math, "Real": float, "tensor": torch.tensor}
    larc = of_file("fastai.optimizer", "Larc", **{"one_file_of_fastai.torch_basics": {**basics, "__all__": [*basics]}})
    optimizer = larc([group["params"] for group in params], **arguments)
    for group, hyper in zip(params, optimizer.hypers, strict=True):
        hyper.update({key: value for key, value in group.items() if key != "params"})
    return optimizer


WD = ({"weight_decay": 0.01}, {"weight_decay": 0.0})
BOTH = ({"weight_decay": 0.01}, {"weight_decay": 0.02})
SGD = {"lr": 0.5, "momentum": 0.9}


def inner(name: str = "SGD", **arguments: Any) -> Any:
    return {"class": f"torch.optim.{name}", "arguments": arguments}


PEERS: dict[str, tuple[Callable[[], Any], list[tuple[Any, dict[str, Any]]]]] = {
    "timm.optim.NvNovoGrad": (lambda: of_file("timm.optim.nvnovograd", "NvNovoGrad"), [
        (WD, {}), (BOTH, {"lr": 0.02, "amsgrad": True, "betas": (0.9, 0.5)}),
        (BOTH, {"lr": 0.02, "grad_averaging": True, "decoupled_decay": True, "eps": 1e-4}),
        (BOTH, {"lr": 0.02, "decoupled_decay": True, "corrected_weight_decay": True}),
        (({"weight_decay": 0.1}, {"weight_decay": 0.2, "max_lr_snapshot": 0.1}),
         {"lr": 0.02, "decoupled_decay": True, "corrected_weight_decay": True, "amsgrad": True}),
        (WD, {"corrected_weight_decay": True}),
        (({"weight_decay": 0.1, "amsgrad": True}, {"weight_decay": 0.2}), {"lr": 0.02, "betas": (0.9, 0.5)}),
    ]),
    "timm.optim.Lars": (lambda: of_file("timm.optim.lars", "Lars"), [
        (WD, {}), (BOTH, SGD), (WD, {**SGD, "dampening": 0.3}), (WD, {**SGD, "nesterov": True, "trust_coeff": 0.02}),
        (WD, {**SGD, "lr": 3.0, "trust_clip": True, "always_adapt": True, "trust_coeff": 0.05}),
        (WD, {"lr": 3.0, "trust_clip": True}), (BOTH, {**SGD, "eps": 0.1, "always_adapt": True}),
    ]),
    "pytorch_optimizer.NovoGrad": (lambda: whole("pytorch_optimizer.NovoGrad"), [
        (WD, {"lr": 0.02}), (BOTH, {"lr": 0.02, "grad_averaging": True, "betas": (0.9, 0.5)}),
        (BOTH, {"lr": 0.02, "weight_decouple": True}), (BOTH, {"lr": 0.02, "weight_decouple": True, "maximize": True}),
        (BOTH, {"lr": 0.02, "weight_decouple": True, "fixed_decay": True}), (BOTH, {"lr": 0.02, "fixed_decay": True}),
        (BOTH, {"lr": 0.02, "adam_debias": True, "eps": 1e-3}),
        (BOTH, {"lr": 0.02, "adam_debias": True, "weight_decouple": True}),
        (BOTH, {"lr": 0.02, "adam_debias": True, "weight_decouple": True, "fixed_decay": True}),
    ]),
    "pytorch_optimizer.LARS": (lambda: whole("pytorch_optimizer.LARS"), [
        (WD, {}), (BOTH, SGD), (BOTH, {**SGD, "nesterov": True, "trust_coefficient": 0.02}),
        (BOTH, {**SGD, "dampening": 0.5}), (BOTH, {**SGD, "dampening": 0.5, "nesterov": True}),
        (BOTH, {**SGD, "maximize": True, "lr": 0.01}),
        (BOTH, {**SGD, "momentum": 0.0}), (BOTH, {"lr": 0.5, "momentum": 0.0, "nesterov": True}),
        (({"weight_decay": 0.1, "momentum": 0.0}, {"weight_decay": 0.2}), SGD), (({"weight_decay": 0.0}, {"weight_decay": 0.0}), {**SGD, "maximize": True}),
    ]),
    "torch_optimizer.NovoGrad": (lambda: of_file("torch_optimizer.novograd", "NovoGrad"), [
        (WD, {"lr": 0.02}), (BOTH, {"lr": 0.02, "betas": (0.9, 0.5), "grad_averaging": True, "amsgrad": True}),
    ]),
    "torch_optimizer.LARS": (lambda: of_file("torch_optimizer.lars", "LARS"), [
        (WD, {}), (BOTH, {**SGD, "nesterov": True}), (WD, {**SGD, "dampening": 0.2, "trust_coefficient": 0.1}),
    ]),
    "lightly.utils.lars.LARS": (lambda: of_file("lightly.utils.lars", "LARS"), [
        (WD, {"lr": 0.5}), (BOTH, {**SGD, "nesterov": True}), (WD, {**SGD, "dampening": 0.2, "eps": 0.1}),
    ]),
    "pl_bolts.optimizers.LARS": (lambda: of_file("pl_bolts.optimizers.lars", "LARS", **{
        "pl_bolts.utils.stability": {"under_review": Registry().register_module}}), [(WD, SGD)]),
    "mmpretrain.engine.optimizers.LARS": (
        lambda: of_file("mmpretrain.engine.optimizers.lars", "LARS", **{"mmpretrain.registry": mm_registry()}), [
            (WD, {"lr": 0.5}), (BOTH, {**SGD, "nesterov": True, "eta": 0.02}), (BOTH, {**SGD, "dampening": 0.2}),
            (({"weight_decay": 0.1}, {"weight_decay": 0.1, "lars_exclude": True}), {**SGD, "eps": 0.1}),
            (({"weight_decay": 0.1, "lr_mult": 10, "decay_mult": 10}, {"weight_decay": 0.1}), SGD),
        ]),
    "vissl.optimizers.lars.LARS": (lambda: of_file(
        "vissl.optimizers.lars", "_LARS", **{"classy_vision.optim": {
            "ClassyOptimizer": object, "register_optimizer": lambda name: lambda kind: kind}}), [
                (WD, {}), (BOTH, {"lr": 0.5, "exclude_bias_and_norm": True, "eta": 0.02}),
                (({"weight_decay": 0.1}, {"weight_decay": 0.1, "exclude": True}), {"lr": 0.5}),
    ]),
    "holocron.optim.LARS": (lambda: of_file("holocron.optim.lars", "LARS"), [
        (BOTH, {"lr": 0.01}), (WD, {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
        (BOTH, {"lr": 0.01, "momentum": 0.9, "dampening": 0.3}),
    ]),
    "solo.utils.lars.LARSWrapper": (lambda: around(of_file("solo.utils.lars", "LARSWrapper")), [
        (WD, {"optimizer": inner(**SGD)}),
        (BOTH, {"optimizer": inner(**SGD, nesterov=True), "eta": 0.02, "clip": True, "exclude_bias_n_norm": True}),
        (BOTH, {"optimizer": inner("Adam", lr=0.01), "eta": 0.02, "exclude_bias_n_norm": True}),
        (BOTH, {"optimizer": inner("AdamW", lr=0.01, amsgrad=True), "clip": True, "eps": 0.1}),
        (BOTH, {"optimizer": inner("RMSprop", lr=0.001, momentum=0.9)}),
        (BOTH, {"optimizer": inner(lr=0.5, momentum=0.9, dampening=0.5, maximize=False)}),
    ]),
    "fastai.optimizer.Larc": (lambda: fastai, [
        (({"wd": 0.05}, {"wd": 0.0}), {"lr": 0.05}), (({"wd": 0.05}, {"wd": 0.1}), {"lr": 0.05, "decouple_wd": False}),
        (({"wd": 0.05}, {"wd": 0.1}), {"lr": 0.05, "clip": False, "trust_coeff": 0.3, "mom": 0.5}),
        (({"wd": 0.05}, {"wd": 0.1}), {"lr": 0.05, "clip": False, "decouple_wd": False, "mom": 0.0}),
        (({"wd": 0.05, "mom": 0.5}, {"wd": 0.1}), {"lr": 0.05, "eps": 0.1}),
    ]),
}
CASES = [(name, number, schedule) for name, (_, cases) in PEERS.items() for number in range(len(cases))
         for schedule in SCHEDULES]


def started(make: Any, options: Any, arguments: Any, with_names: bool) -> tuple[dict[str, Any], Any]:
    parameters = {name: torch.nn.Parameter(torch.tensor(weights).reshape(shape)) for (name, shape), weights in zip(
        LAYERS.items(), PROBLEM["initial_weights"], strict=True)}
    split = ([name for name in LAYERS if name not in FLAT], FLAT)
    groups = [{"params": [(name, parameters[name]) if with_names else parameters[name] for name in names], **each}
              for names, each in zip(split, copy.deepcopy(options), strict=True)]
    return parameters, make(groups, **copy.deepcopy(arguments))


def stepped(parameters: dict[str, Any], optimizer: Any, step: int, lr: float) -> None:
    for parameter, grad in zip(parameters.values(), PROBLEM["gradients_per_step"][step], strict=True):
        parameter.grad = torch.tensor(grad).reshape(parameter.shape)
    for group in getattr(optimizer, "hypers", None) or optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()


@pytest.mark.parametrize(("name", "number", "schedule"), CASES)
def test_it_computes_what_the_peer_itself_does(name: str, number: int, schedule: str) -> None:
    make, cases = PEERS[name]
    options, arguments = cases[number]
    theirs, their_optimizer = started(make(), options, arguments, with_names=False)
    ours, our_optimizer = started(lambda groups, **given: layerwise.torch.like(name, groups, **given), options,
                                  arguments, with_names=True)
    base = float(our_optimizer.param_groups[0]["lr"])
    for step in range(STEPS):
        lr = base * SCHEDULES[schedule](step)
        stepped(theirs, their_optimizer, step, lr)
        stepped(ours, our_optimizer, step, lr)
        for layer, parameter in theirs.items():
            expected = parameter.detach().double()
            difference = float((ours[layer].detach().double() - expected).abs().max())
            assert difference <= BOUND * float(expected.abs().max()), f"{layer}, step {step + 1}"
    if not hasattr(their_optimizer, "hypers"):
        state = their_optimizer.state_dict()
        again, resumed = started(lambda groups, **given: layerwise.torch.like(name, groups, **given), options,
                                 arguments, with_names=True)
        for layer, parameter in again.items():
            parameter.data.copy_(theirs[layer].data)
        resumed.load_peer_state_dict(copy.deepcopy(state))
        for step in range(3):
            stepped(theirs, their_optimizer, step, base / 2)
            stepped(again, resumed, step, base / 2)
        for layer, parameter in theirs.items():
            expected = parameter.detach().double()
            difference = float((again[layer].detach().double() - expected).abs().max())
            assert difference <= BOUND * float(expected.abs().max()), f"{layer}, resumed"
        their_optimizer.load_state_dict(resumed.peer_state_dict())
        for parameter, other in zip(theirs.values(), again.values(), strict=True):
            parameter.data.copy_(other.data)
        for step in range(3, 6):
            stepped(theirs, their_optimizer, step, base / 2)
            stepped(again, resumed, step, base / 2)
        for layer, parameter in theirs.items():
            expected = parameter.detach().double()
            difference = float((again[layer].detach().double() - expected).abs().max())
            assert difference <= BOUND * float(expected.abs().max()), f"{layer}, and back"


@pytest.mark.parametrize("name", ["timm.optim.NvNovoGrad", "torch_optimizer.NovoGrad", "pytorch_optimizer.NovoGrad"])
def test_in_float16_small_gradients_are_normalized_here_and_not_there(name: str) -> None:
    """Their squares of 1e-4 are 0 in float16, and what is divided by eps leaves for good. Right is their own run in
    float64 on the same float16 weights and gradients; the bound is float16's rounding of a weight in 20 steps."""
    make = PEERS[name][0]()
    runs = {"theirs": (make, torch.float16), "ours": (functools.partial(layerwise.torch.like, name), torch.float16),
            "exact": (make, torch.float64)}
    found = {}
    for run, (maker, dtype) in runs.items():
        parameters = [torch.nn.Parameter(torch.tensor(weights).half().to(dtype))
                      for weights in PROBLEM["initial_weights"]]
        optimizer = maker(parameters, lr=1e-3)
        for row in PROBLEM["gradients_per_step"]:
            for parameter, grad in zip(parameters, row, strict=True):
                parameter.grad = (1e-4 * torch.tensor(grad)).half().to(dtype)
            optimizer.step()
        found[run] = [parameter.detach().double() for parameter in parameters]
    off = {run: max(float((one - exact).abs().max() / exact.abs().max())
                    for one, exact in zip(found[run], found["exact"], strict=True)) for run in ("theirs", "ours")}
    assert off["ours"] < 20 * 2**-11
    assert not off["theirs"] < 1, "they are right by now: the table says that they are not"


def test_under_a_closure_solo_learns_wrapper_scales_nothing_and_ours_does() -> None:
    """Lightning steps with a closure, which makes the gradients after the wrapper has looked at them. Right is the
    wrapper's own run without one."""
    arguments = {"optimizer": inner(lr=0.1, momentum=0.9), "eta": 0.02}
    make = around(of_file("solo.utils.lars", "LARSWrapper"))
    ours = functools.partial(layerwise.torch.like, "solo.utils.lars.LARSWrapper")
    found = {}
    for run, maker, with_closure in (("right", make, False), ("theirs", make, True), ("ours", ours, True)):
        parameters, optimizer = started(maker, BOTH, arguments, with_names=False)
        for step in range(STEPS):
            def closure(step: int = step, parameters: Any = parameters) -> None:
                for parameter, grad in zip(parameters.values(), PROBLEM["gradients_per_step"][step], strict=True):
                    parameter.grad = torch.tensor(grad).reshape(parameter.shape)

            for parameter in parameters.values():
                parameter.grad = None
            if with_closure:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        found[run] = [parameter.detach().double() for parameter in parameters.values()]
    off = {run: max(float((one - right).abs().max() / right.abs().max())
                    for one, right in zip(found[run], found["right"], strict=True)) for run in ("theirs", "ours")}
    assert off["ours"] < BOUND < 1 < off["theirs"]
