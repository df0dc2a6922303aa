"""Arguments of peers that cannot run here, by layerwise.torch.like: names, exclusions, rescaling, Nesterov.

Right values: each peer's formula, written out in NumPy's float64, on the layers and gradients of peers/ for 20 steps
under a rate that warms up from exactly 0. The formulas are those that peers/ holds to the peers' own code, with other
arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from test_torch_like import BOUND, PROBLEM, run_of

import layerwise.torch

torch = torch_models.torch

NAMES = [layer["name"] for layer in run_of("timm.Lars-lars")["layers"]]
SHAPES = [layer["shape"] for layer in run_of("timm.Lars-lars")["layers"]]
GRADS = [[np.array(grad) for grad in row] for row in PROBLEM["gradients_per_step"]]
norm = np.linalg.norm


def rates(base: float) -> list[float]:
    return [base * min(step / 5, 1.0) * (0.3 if step > 12 else 1.0) for step in range(20)]


def guarded(w: Any, g: Any, ratio: float) -> float:
    """1 where a norm is 0."""
    return ratio if norm(w) > 0 and norm(g) > 0 else 1.0


def lars(w: Any, g: Any, wd: float, tc: float, eps: float = 0.0) -> float:
    with np.errstate(all="ignore"):
        return guarded(w, g, tc * norm(w) / (norm(g) + wd * norm(w) + eps))


def decayed_lars(w: Any, g: Any, wd: float, tc: float, eps: float = 0.0) -> float:
    h = g + wd * w
    with np.errstate(all="ignore"):
        return guarded(w, h, tc * norm(w) / (norm(h) + eps))


def objax(w: Any, g: Any, wd: float, tc: float, eps: float) -> float:
    return max(float(norm(w) == 0 or norm(g) == 0), tc * norm(w) / (norm(g) + wd * norm(w) + eps))


def chainer(w: Any, g: Any, wd: float, threshold: float, eps: float) -> float:
    return norm(w) / (eps + norm(g) + wd * norm(w)) if norm(w) > threshold else 1.0


def sgd(lr_of: list[float], ratio: Callable[..., float], *extra: float, wd: float, mu: float = 0.9, inside: bool = True,
        nesterov: bool = False, scale: float = 1.0, undecayed: tuple[str, ...] = (), unscaled: tuple[str, ...] = (),
        after: bool = False, corrected: bool = False, clamp: float = np.inf, greatest: float = np.inf) -> list[Any]:
    """The weights after the last step."""
    weights = [np.array(w) for w in PROBLEM["initial_weights"]]
    moments = [np.zeros_like(w) for w in weights]
    before = None
    for lr, row in zip(lr_of, GRADS, strict=True):
        for k, (name, grad) in enumerate(zip(NAMES, row, strict=True)):
            w, g, decay = weights[k], scale * grad, 0.0 if any(part in name for part in undecayed) else wd
            r = 1.0 if any(part in name for part in unscaled) else min(ratio(w, g, decay, *extra), greatest)
            h = np.clip(g + decay * w, -clamp, clamp)
            h = h if after else r * h
            keep = mu * lr / before if corrected and before else mu
            moments[k] = keep * moments[k] + (lr * h if inside else h)
            step = (lr * h if inside else h) + mu * moments[k] if nesterov else moments[k]
            weights[k] = w - (1.0 if inside else lr * r if after else lr) * step
        before = lr
    return weights


def novograd(lr_of: list[float], *, b1: float, b2: float, eps: float, wd: float, mode: str = "",
             averaging: bool = False, average_first: bool = True, corrected: bool = False,
             amsgrad: bool = False, infinity: bool = False, seeded: bool = True, inside: bool = False) -> list[Any]:
    """The weights after the last step. mode raw: the momentum is of the raw gradient (apex)."""
    weights = [np.array(w) for w in PROBLEM["initial_weights"]]
    moments, seconds, greatest = [np.zeros_like(w) for w in weights], [0.0] * len(weights), [0.0] * len(weights)
    for t, (lr, row) in enumerate(zip(lr_of, GRADS, strict=True), 1):
        c1, c2 = (1 - b1**t, np.sqrt(1 - b2**t)) if corrected else (1.0, 1.0)
        for k, (w, g) in enumerate(zip(weights, row, strict=True)):
            n2 = np.abs(g).max() if infinity else (g * g).sum()
            seconds[k] = n2 if seeded and t == 1 else b2 * seconds[k] + (1 - b2) * n2
            greatest[k] = max(greatest[k], seconds[k])
            v = greatest[k] if amsgrad else seconds[k]
            d = (v if infinity else np.sqrt(v)) / c2 + eps
            c = 1 - b1 if averaging and (t > 1 or average_first) else 1.0
            u = g if mode == "raw" else g / d + wd * w
            moments[k] = b1 * moments[k] + c * u * (lr if inside else 1.0)
            step = moments[k] / c1 / d + wd * w if mode == "raw" else moments[k] / c1
            weights[k] = w - (1.0 if inside else lr) * step
    return weights


def inner(name: str, **arguments: Any) -> dict[str, Any]:
    return {"optimizer": {"class": name, "arguments": arguments}}


MOMENTUM, NESTEROV = "chainer.optimizers.MomentumSGD", "chainer.optimizers.NesterovAG"
FLAT = ("bn1", "bias")
FLOAT32 = float(np.float32(0.999))
CASES: list[tuple[str, dict[str, Any], float, Callable[[list[float]], list[Any]]]] = [
    ("tensorflow.contrib.opt.LARSOptimizer",
     {"learning_rate": 0.9, "weight_decay": 0.05, "eeta": 0.02, "epsilon": 0.1, "use_nesterov": True,
      "skip_list": ["bias", "late"]}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, 0.1, wd=0.05, nesterov=True, undecayed=("bias", "late"),
                    unscaled=("bias", "late"))),
    ("tf.contrib.opt.LARSOptimizer", {"learning_rate": 0.9}, 0.9, lambda lr: sgd(lr, lars, 0.001, wd=1e-4)),
    ("tf_models.LARS",
     {"weight_decay_rate": 0.05, "eeta": 0.02, "nesterov": True, "momentum": 0.5,
      "exclude_from_weight_decay": ["^bn1", r"fc\.b"], "exclude_from_layer_adaptation": ["late"]}, 0.9,
     lambda lr: sgd(lr, decayed_lars, 0.02, wd=0.05, mu=0.5, nesterov=True, undecayed=("bn1", "fc.bias"),
                    unscaled=("late",))),
    ("tf_models.LARS", {"weight_decay_rate": 0.05, "exclude_from_layer_adaptation": ["bias$"]}, 0.9,
     lambda lr: sgd(lr, decayed_lars, 0.001, wd=0.05, unscaled=("bias",))),
    ("paddle.LarsMomentumOptimizer",
     {"learning_rate": 0.9, "momentum": 0.5, "lars_coeff": 0.02, "lars_weight_decay": 0.05, "epsilon": 0.1,
      "rescale_grad": 0.5, "exclude_from_weight_decay": ["bn1", "bias"]}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, 0.1, wd=0.05, mu=0.5, scale=0.5, undecayed=FLAT, unscaled=FLAT)),
    ("paddle.LarsMomentumOptimizer", {"learning_rate": 0.9, "momentum": 0.9, "lars_weight_decay": 0.0}, 0.9,
     lambda lr: sgd(lr, lars, 1.0, wd=0.0, unscaled=("",))),
    ("mxnet.optimizer.LARS", {"momentum": 0.9, "eta": 0.02, "wd": 0.05, "rescale_grad": 0.5, "eps": 0.1}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, 0.1, wd=0.05, scale=0.5, corrected=True, undecayed=("",), unscaled=("bias",))),
    ("mxnet.optimizer.LARS", {"momentum": 0.9, "eta": 0.02, "wd": 0.05, "momentum_correction": False}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, wd=0.05, undecayed=("",), unscaled=("bias",))),
    ("tinygrad.nn.optim.LARS", {"nesterov": True, "weight_decay": 0.05, "tcoef": 0.02}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, wd=0.05, nesterov=True)),
    ("tinygrad.nn.optim.LARS", {"classic": False, "weight_decay": 0.05, "tcoef": 0.02}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, wd=0.05, inside=False, after=True)),
    ("tinygrad.nn.optim.LARS", {"classic": False, "nesterov": True, "weight_decay": 0.05, "tcoef": 0.02}, 0.9,
     lambda lr: sgd(lr, lars, 0.02, wd=0.05, inside=False, after=True, nesterov=True)),
    ("tinygrad.nn.optim.LARS", {"tcoef": 0.0, "weight_decay": 0.05}, 0.01,
     lambda lr: sgd(lr, lars, 0.0, wd=0.05, unscaled=("",))),
    ("objax.optimizer.LARS", {"weight_decay": 0.05, "tc": 0.02, "momentum": 0.5}, 0.9,
     lambda lr: sgd(lr, objax, 0.02, 1e-5, wd=0.05, mu=0.5)),
    ("objax.optimizer.LARS", {"weight_decay": 0.01, "tc": 0.05, "eps": 0.1}, 0.9,
     lambda lr: sgd(lr, objax, 0.05, 0.1, wd=0.01)),
    ("flax.optim.LARS", {"learning_rate": 0.9, "nesterov": True, "weight_decay": 0.05, "eps": 0.1, "beta": 0.5}, 0.9,
     lambda lr: sgd(lr, lars, 0.001, 0.1, wd=0.05, mu=0.5, nesterov=True)),
    ("chainer.GradientLARS", {**inner(MOMENTUM, lr=0.02, momentum=0.5), "threshold": 0.5, "weight_decay": 0.05}, 0.02,
     lambda lr: sgd(lr, chainer, 0.5, 1e-9, wd=0.05, mu=0.5)),
    ("chainer.optimizer_hooks.GradientLARS with chainer.optimizers.NesterovAG",
     {**inner(NESTEROV, lr=0.02), "hook": {"class": "chainer.optimizer_hooks.GradientLARS",
                                           "arguments": {"weight_decay": 0.05, "eps": 0.1}}}, 0.02,
     lambda lr: sgd(lr, chainer, 1e-2, 0.1, wd=0.05, nesterov=True)),
    ("chainer.GradientLARS", {**inner("chainer.optimizers.SGD", lr=0.02), "weight_decay": 0.05}, 0.02,
     lambda lr: sgd(lr, chainer, 1e-2, 1e-9, wd=0.05, mu=0.0)),
    ("colossalai.nn.optimizer.Lars", {"momentum": 0.9, "eeta": 1.0, "weight_decay": 0.01, "epsilon": 0.1}, 0.01,
     lambda lr: sgd(lr, lars, 1.0, 0.1, wd=0.01, inside=False, after=True, clamp=10.0, greatest=50.0)),
    ("apex.FusedNovoGrad", {"weight_decay": 0.05, "grad_averaging": False, "bias_correction": False, "eps": 0.1}, 0.02,
     lambda lr: novograd(lr, b1=np.float32(0.9), b2=FLOAT32, eps=0.1, wd=0.05, mode="raw")),
    ("apex.FusedNovoGrad", {"weight_decay": 0.05, "init_zero": True, "norm_type": 0, "betas": (0.95, 0.5)}, 0.02,
     lambda lr: novograd(lr, b1=float(np.float32(0.95)), b2=0.5, eps=1e-8, wd=0.05, mode="raw", averaging=True,
                         corrected=True, infinity=True, seeded=False)),
    ("apex.FusedNovoGrad", {"weight_decay": 0.05, "reg_inside_moment": True, "grad_averaging": False}, 0.02,
     lambda lr: novograd(lr, b1=float(np.float32(0.9)), b2=FLOAT32, eps=1e-8, wd=0.05, corrected=True)),
    ("tfa.optimizers.NovoGrad", {"weight_decay": 0.05, "amsgrad": True, "grad_averaging": True, "beta_2": 0.5}, 0.1,
     lambda lr: novograd(lr, b1=float(np.float32(0.9)), b2=0.5, eps=1e-7, wd=0.05, amsgrad=True, averaging=True,
                         average_first=False, inside=True)),
    ("tfa.optimizers.NovoGrad", {"lr": 0.02, "epsilon": 0.0}, 0.02,
     lambda lr: novograd(lr, b1=float(np.float32(0.9)), b2=FLOAT32, eps=1e-7, wd=0.0, inside=True)),
    ("optax.chain", {"chain": [{"class": "optax.scale_by_trust_ratio"}, {
        "class": "optax.scale_by_learning_rate", "arguments": {"learning_rate": None}}, {
            "class": "optax.trace", "arguments": {"decay": 0.5}}]}, 0.02,
     lambda lr: sgd(lr, decayed_lars, 1.0, wd=0.0, mu=0.5)),  # scale_by_trust_ratio's own default, not lars'
    ("colossalai.nn.optimizer.Lars", {"eeta": 60.0, "weight_decay": 0.01}, 1e-4,
     lambda lr: sgd(lr, lars, 60.0, wd=0.01, mu=0.0, inside=False, after=True, clamp=10.0, greatest=50.0)),
]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{name}-{n}" for n, (name, *_) in enumerate(CASES)])
def test_arguments_do_what_the_peers_formula_says(number: int) -> None:
    name, arguments, base, model = CASES[number]
    parameters = [torch.nn.Parameter(torch.tensor(weights).reshape(shape))
                  for weights, shape in zip(PROBLEM["initial_weights"], SHAPES, strict=True)]
    optimizer = layerwise.torch.like(name, zip(NAMES, parameters, strict=True), **arguments)
    for lr, row in zip(rates(base), GRADS, strict=True):
        for parameter, grad in zip(parameters, row, strict=True):
            parameter.grad = torch.tensor(grad, dtype=torch.float32).reshape(parameter.shape)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    for layer, parameter, expected in zip(NAMES, parameters, model(rates(base)), strict=True):
        difference = np.abs(parameter.detach().double().numpy().reshape(-1) - expected).max()
        assert difference <= BOUND * np.abs(expected).max(), layer
