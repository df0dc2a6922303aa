"""LARC around optimizers that wrap others, and this package's optimizers inside them.

Lookahead (Zhang et al., arXiv 1907.08610) as two libraries write it, without ever running Optimizer.__init__: timm's
own file where it is installed, and stand-ins with what pytorch_optimizer's, Accelerate's and Lightning's have and lack.
Right values are computed by hand in float64.
"""

from __future__ import annotations

import collections
import copy
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

torch = torch_models.torch

START, GRAD, LR, EVERY = np.array([1.0, -2.0, 3.0]), np.array([0.1, 0.2, -0.3]), 0.1, 2


def timms_lookahead(optimizer: Any) -> Any:
    """It shares param_groups and defaults, keeps slow weights in the inner state, and has two of six hook tables."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        pytest.skip("timm is not installed")
    spec = importlib.util.spec_from_file_location("timms_lookahead", Path(found.origin).parent / "optim/lookahead.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Lookahead(optimizer, alpha=0.5, k=EVERY)


class Lookahead(torch.optim.Optimizer):  # type: ignore[misc,name-defined,unused-ignore]
    """As pytorch_optimizer 3.5.1's: param_groups cannot be set, a checkpoint holds the inner one, no hooks of
    checkpoints, and a momentum_buffer is put into the inner state."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self._optimizer_step_pre_hooks: Any = {}
        self._optimizer_step_post_hooks: Any = {}
        self.state: Any = collections.defaultdict(dict)
        for group in self.param_groups:
            group["counter"] = 0
            for parameter in group["params"]:
                self.state[parameter]["slow"] = parameter.detach().clone()
        self.defaults = {"lookahead_k": EVERY, **optimizer.defaults}

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> Any:
        return {"lookahead_state": self.state, "base_optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Any) -> None:
        self.state = state["lookahead_state"]
        self.optimizer.load_state_dict(state["base_optimizer"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = self.optimizer.step(closure)
        for group in self.param_groups:
            group["counter"] += 1
            if group["counter"] % EVERY == 0:
                for parameter in group["params"]:
                    slow = self.state[parameter]["slow"]
                    slow.copy_(parameter.mul_(0.5).add_(slow, alpha=0.5))
                    self.optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
        return loss


class Delegating(torch.optim.Optimizer):  # type: ignore[misc,name-defined,unused-ignore]
    """As Accelerate's: an Optimizer by its base class, everything else is the inner one's."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    param_groups = property(lambda self: self.optimizer.param_groups)
    state = property(lambda self: self.optimizer.state)
    defaults = property(lambda self: self.optimizer.defaults)

    def add_param_group(self, param_group: Any) -> None:
        self.optimizer.add_param_group(param_group)

    def state_dict(self) -> Any:
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: Any) -> None:
        self.optimizer.load_state_dict(state_dict)

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)


class Averaging(torch.optim.Optimizer):  # type: ignore[misc,name-defined,unused-ignore]
    """As torchcontrib's SWA: it has torch's own zero_grad, and no hooks at all."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.param_groups, self.defaults = optimizer.param_groups, optimizer.defaults
        self.state: Any = collections.defaultdict(dict)

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)

    def state_dict(self) -> Any:
        saved = self.optimizer.state_dict()
        return {"opt_state": saved["state"], "swa_state": {}, "param_groups": saved["param_groups"]}

    def load_state_dict(self, saved: Any) -> None:
        self.optimizer.load_state_dict({"state": saved["opt_state"], "param_groups": saved["param_groups"]})
        self.param_groups = self.optimizer.param_groups


class SharpnessAware(torch.optim.Optimizer):  # type: ignore[misc,name-defined,unused-ignore]
    """As SAM's widespread code: it makes the inner optimizer of its own groups, and steps it after a second closure."""

    def __init__(self, params: Any, inner: Any, **options: Any) -> None:
        super().__init__(params, {"rho": 0.05, **options})
        self.base_optimizer = inner(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = torch.stack([p.grad.norm() for p in parameters]).norm()
        old = [p.clone() for p in parameters]
        for p in parameters:
            p.add_(p.grad, alpha=0.05 / float(norm))
        with torch.enable_grad():
            loss = closure()
        for p, before in zip(parameters, old, strict=True):
            p.copy_(before)
        self.base_optimizer.step()
        return loss


class Proxy:
    """As Lightning's: no Optimizer at all."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        if name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)


LOOKAHEADS = {"timm": timms_lookahead, "pytorch_optimizer": Lookahead}
WRAPPERS: dict[str, Any] = {**LOOKAHEADS, "delegating": Delegating, "averaging": Averaging, "proxy": Proxy}
INNER: dict[str, Any] = {
    "SGD": lambda p: torch.optim.SGD(p, LR, momentum=0.9, weight_decay=0.01),
    "LARCSGD": lambda p: LARCSGD(p, LR, momentum=0.9, weight_decay=0.01),
    "NovoGrad": lambda p: NovoGrad(p, LR, weight_decay=0.01)}


def by_hand(inner: str, larc: bool, wrapper: str, rates: list[float]) -> Any:
    w, m, v = START.copy(), 0 * START, 0.0
    slow = None if wrapper == "timm" else START.copy()  # timm's begins with what the weights are then
    for number, lr in enumerate(rates, 1):
        g = GRAD * number
        if larc or inner == "LARCSGD":
            g = g * min(0.002 * np.linalg.norm(w) / (np.linalg.norm(g) + 1e-8) / lr, 1)
        if inner == "NovoGrad":
            v = g @ g if v == 0 else 0.98 * v + 0.02 * (g @ g)
            m = 0.95 * m + g / (np.sqrt(v) + 1e-8) + 0.01 * w
        else:
            m = 0.9 * m + g + 0.01 * w
        w = w - lr * m
        if wrapper in LOOKAHEADS and number % EVERY == 0:
            slow = w if slow is None else slow + 0.5 * (w - slow)
            w = slow
    return w


def parameter() -> Any:
    return torch.nn.Parameter(torch.tensor(START, dtype=torch.float32))


def train(optimizer: Any, numbers: range, scheduler: Any = None) -> list[float]:
    rates = []
    for number in numbers:
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            for each in group["params"]:
                each.grad = torch.tensor(GRAD * number, dtype=torch.float32)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return rates


@pytest.mark.parametrize("inner", ["SGD", "NovoGrad"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_larc_around_a_wrapper_gives_the_values_by_hand(wrapper: str, inner: str) -> None:
    p = parameter()
    optimizer = LARC(WRAPPERS[wrapper](INNER[inner]([p])))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    rates = train(optimizer, range(1, 7), scheduler)
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    np.testing.assert_allclose(p.detach(), by_hand(inner, True, wrapper, rates), rtol=1e-6)


def test_larc_needs_no_state_of_what_it_wraps() -> None:
    class Least:
        """What LARC asks for, and no more."""

        def __init__(self, optimizer: Any) -> None:
            self.param_groups, self.step = optimizer.param_groups, optimizer.step
            self.state_dict, self.zero_grad = optimizer.state_dict, optimizer.zero_grad

    found = []
    for wrap in (Least, lambda optimizer: optimizer):
        p = parameter()
        train(LARC(wrap(INNER["SGD"]([p]))), range(1, 7))
        found.append(p.detach())
    assert torch.equal(*found)


@pytest.mark.parametrize("inner", ["SGD in LARC", "LARCSGD", "NovoGrad"])
@pytest.mark.parametrize("wrapper", [*LOOKAHEADS, "delegating", "proxy"])
def test_an_optimizer_of_this_package_in_a_wrapper_gives_the_values_by_hand(wrapper: str, inner: str) -> None:
    p = parameter()
    optimizer = WRAPPERS[wrapper](LARC(INNER["SGD"]([p])) if inner == "SGD in LARC" else INNER[inner]([p]))
    rates = train(optimizer, range(1, 7))
    np.testing.assert_allclose(
        p.detach(), by_hand(inner.split()[0], "LARC" in inner, wrapper, rates), rtol=1e-6)


@pytest.mark.parametrize("inner", ["SGD", "NovoGrad"])
@pytest.mark.parametrize("wrapper", ["timm", "delegating", "averaging", "proxy"])
def test_a_checkpoint_through_a_wrapper_resumes(wrapper: str, inner: str) -> None:
    def made() -> tuple[Any, Any]:
        p = parameter()
        return p, LARC(WRAPPERS[wrapper](INNER[inner]([p])))

    p, optimizer = made()
    other, resumed = made()
    train(optimizer, range(1, 4))
    with torch.no_grad():
        other.copy_(p)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.param_groups is resumed.optimizer.param_groups
    for each in (optimizer, resumed):
        train(each, range(4, 7))
    assert torch.equal(p, other)


def test_a_checkpoint_that_holds_the_inner_one_is_loaded_and_looked_into() -> None:
    p = parameter()
    optimizer = LARC(Lookahead(INNER["SGD"]([p])))
    train(optimizer, range(1, 3))
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    train(optimizer, range(3, 5))
    np.testing.assert_allclose(p.detach(), by_hand("SGD", True, "pytorch_optimizer", [LR] * 4), rtol=1e-6)
    saved["base_optimizer"]["param_groups"][0]["lr_mult"] = 10.0
    with pytest.raises(ValueError, match=r"checkpoint has lr_mult=10\.0"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_hooks_of_checkpoints_run_once(wrapper: str) -> None:
    p = parameter()
    optimizer = LARC(WRAPPERS[wrapper](INNER["SGD"]([p])))
    said: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda _: said.append("save"))
    optimizer.register_state_dict_post_hook(lambda _, saved: {**saved, "more": said.append("saved")})
    optimizer.register_load_state_dict_pre_hook(lambda _, saved: {**saved, "less": said.append("load")})
    optimizer.register_load_state_dict_post_hook(lambda _: said.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert said == ["save", "saved", "load", "loaded"]


@pytest.mark.parametrize("larc", [False, True])
def test_sam_around_and_in_between_gives_the_values_by_hand(larc: bool) -> None:
    """The loss is sum(w**3)/3, so that the gradient at the perturbed weights is (w + 0.05*g/|g|)**2."""
    for name, inner in (("SGD", torch.optim.SGD), ("NovoGrad", NovoGrad)):
        p, w = parameter(), START.copy()
        optimizer = SharpnessAware([p], inner, lr=0.01, weight_decay=0.0)
        optimizer = LARC(optimizer) if larc else optimizer
        v, m = 0.0, 0 * w

        def closure(p: Any = p, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (p**3).sum() / 3
            loss.backward()
            return loss

        for _ in range(3):
            closure()
            optimizer.step(closure)
            g = (w + 0.05 * w**2 / np.linalg.norm(w**2)) ** 2
            if larc:  # at the perturbed weights too
                at = w + 0.05 * w**2 / np.linalg.norm(w**2)
                g = g * min(0.002 * np.linalg.norm(at) / (np.linalg.norm(g) + 1e-8) / 0.01, 1)
            if name == "NovoGrad":
                v = g @ g if v == 0 else 0.98 * v + 0.02 * (g @ g)
                m = 0.95 * m + g / (np.sqrt(v) + 1e-8)
            w = w - 0.01 * (m if name == "NovoGrad" else g)
        np.testing.assert_allclose(p.detach(), w, rtol=1e-5)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_grad_scaler_unscales_once_around_a_wrapper(wrapper: str) -> None:
    """Also where the optimizer inside would unscale in its step, which the wrapper does not say."""
    found = []
    for scaled in (True, False):
        p = parameter()
        optimizer = LARC(WRAPPERS[wrapper](NovoGrad([p], LR, unscale_in_step=scaled)))
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0, enabled=scaled)
        for step in range(3):
            optimizer.zero_grad()
            loss = (p * torch.tensor(GRAD, dtype=torch.float32)).sum() * (np.inf if step == 1 and scaled else 1)
            if step == 1 and not scaled:
                continue  # skipped for what is not finite
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        found.append(p.detach())
    assert torch.equal(*found)


@pytest.mark.parametrize("wrapper", ["timm", "delegating"])
def test_a_group_that_is_added_through_a_wrapper_takes_part(wrapper: str) -> None:
    for make in (lambda q: LARC(WRAPPERS[wrapper](INNER["SGD"](q))), lambda q: WRAPPERS[wrapper](INNER["NovoGrad"](q))):
        p, more = parameter(), parameter()
        optimizer = make([p])
        optimizer.add_param_group({"params": [more]})
        train(optimizer, range(1, 3))
        assert torch.equal(more, p) and not torch.equal(p, parameter())


def test_a_wrappers_new_group_is_asked_whose_its_multiplier_is() -> None:
    """timm's Lookahead adds it past NovoGrad, with NovoGrad's own defaults."""
    p, more = parameter(), parameter()
    optimizer = timms_lookahead(INNER["NovoGrad"]([p]))
    optimizer.add_param_group({"params": [more], "lr_mult": 10.0})
    with pytest.raises(ValueError, match=r"lr_mult=10\.0"):
        train(optimizer, range(1, 2))
    assert torch.equal(p, parameter())


def test_a_changing_entry_of_a_wrapper_asks_the_library_no_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's Lookahead counts its steps in each group, under a name that it adds to the shared defaults."""
    p = parameter()
    optimizer = timms_lookahead(INNER["NovoGrad"]([p]))
    train(optimizer, range(1, 2))
    monkeypatch.setattr(NovoGrad, "_prepare", lambda *_: pytest.fail("the options have not changed"))
    train(optimizer, range(2, 4))
