"""The modes that take other implementations' places, under a rate that changes and is 0 once: layerwise.Plan,
layerwise.torch and layerwise.jax.

Right values: the formulas of layerwise.h once more, in NumPy's float64, over three layers of which one starts at zero and
one has no gradient on the first step. The bound is float32's rounding over six steps. Wrong is what the next mode would
give: each differs from the default by more than ten times the bound, which is asked too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import layerwise

RATES = [1.6, 0.4, 0.0, 0.2, 0.8, 0.1]
BOUND = 2e-6
_random = np.random.default_rng(5)
START = [_random.normal(size=6), np.zeros(3), 4 * _random.normal(size=4)]
GRADS = [[_random.normal(size=len(w)) for w in START] for _ in RATES]
GRADS[0][2][:] = 0

LARC_SGD = [
    {"lr_in_momentum": True},
    {"lr_in_momentum": True, "nesterov": True, "fold_weight_decay": True},
    {"fold_weight_decay": "gradient"},
    {"fold_weight_decay": "both"},
    {"fold_weight_decay": "gradient", "lr_in_momentum": True, "maximize": True},
    {"fold_weight_decay": "decoupled"},
    {"fold_weight_decay": "decoupled", "factor_after_momentum": True, "max_update": 0.3, "zero_norm": "freeze"},
    {"factor_after_momentum": True},
    {"factor_after_momentum": True, "fold_weight_decay": True, "nesterov": True},
    {"dampening": 0.25, "dampen_first_step": True},
    {"dampening": 0.25, "dampen_first_step": True, "nesterov": True},
    {"factor_after_momentum": True, "fold_weight_decay": True, "clip_value": 0.7},
    {"lr_in_momentum": True, "clip_value": 0.7},
    {"zero_norm": "unit", "mode": "clip", "eta": 9.0},
    {"fold_weight_decay": True, "zero_grad_norm": "formula"},
    {"fold_weight_decay": True, "zero_grad_norm": "at_least_one", "eta": 0.01},
    {"weight_norm_threshold": 2.6},
]
NOVOGRAD = [
    {"seed_second_moment": "first_step"},
    {"decoupled_weight_decay": "normalized"},
    {"decoupled_weight_decay": "normalized", "bias_correction": True, "seed_second_moment": "first_step"},
]
BASE_SGD = {"mode": "scale", "eta": 0.5, "eps": 1e-8, "weight_decay": 0.05, "momentum": 0.7, "dampening": 0.0,
            "nesterov": False, "min_update": 0.0, "max_update": 0.0, "zero_norm": "keep", "zero_grad_norm": "as_weight",
            "weight_norm_threshold": 0.0, "fold_weight_decay": False, "lr_in_momentum": False,
            "factor_after_momentum": False, "dampen_first_step": False, "clip_value": 0.0, "maximize": False}
BASE_NOVOGRAD = {"beta1": 0.9, "beta2": 0.6, "eps": 1e-8, "weight_decay": 0.05, "bias_correction": False,
                 "seed_second_moment": True, "decoupled_weight_decay": False}


def name_of(options: dict[str, Any]) -> str:
    return "-".join(f"{name}_{value}" for name, value in options.items())


def factor(o: dict[str, Any], lr: float, w: Any, g: Any) -> float:
    """LARC's, of a layer's weights, those that a decay before the step has left."""
    fold, wd, norm = o["fold_weight_decay"], o["weight_decay"], np.linalg.norm
    of_decayed = fold in ("gradient", "both")
    n = norm(g + wd * w) if of_decayed else norm(g)
    total = n + (wd * norm(w) if fold in (True, "both", "decoupled") else 0) + o["eps"]
    none, still = norm(w) <= o["weight_norm_threshold"], n == 0 and o["zero_grad_norm"] == "as_weight"
    if o["zero_norm"] == "freeze" and none:
        return 0.0
    if none or still:
        if o["zero_norm"] == "keep":
            return 1.0
        r = 1.0
    else:
        r = o["eta"] * norm(w) / total
    if n == 0 and o["zero_grad_norm"] == "at_least_one":
        r = max(r, 1.0)
    if o["mode"] == "clip":
        return min(r / lr, 1.0) if lr else 1.0
    return min(r, o["max_update"] or np.inf)


def sgd_model(options: dict[str, Any]) -> list[Any]:
    o = BASE_SGD | options
    weights = [w.copy() for w in START]
    for layer, w in enumerate(weights):
        b = np.zeros_like(w)
        for t, lr in enumerate(RATES):
            g = GRADS[t][layer] * (-1 if o["maximize"] else 1)
            decay = o["weight_decay"] * w
            if o["fold_weight_decay"] == "decoupled":
                w -= lr * decay
                decay = 0
            r = factor(o, lr, w, g)
            if o["factor_after_momentum"]:
                h, rate = g + decay, lr * r
            else:
                h, rate = r * (g + decay) if o["fold_weight_decay"] in (True, "gradient", "both") else r * g + decay, lr
            if o["clip_value"]:
                h = np.clip(h, -o["clip_value"], o["clip_value"])
            if o["lr_in_momentum"]:
                h, rate = lr * h, 1
            b = h if t == 0 and not o["dampen_first_step"] else o["momentum"] * b + (1 - o["dampening"]) * h
            w -= rate * (h + o["momentum"] * b if o["nesterov"] else b)
    return weights


def novograd_model(options: dict[str, Any]) -> list[Any]:
    o = BASE_NOVOGRAD | options
    weights = [w.copy() for w in START]
    for layer, w in enumerate(weights):
        m, v = np.zeros_like(w), 0.0
        for t, lr in enumerate(RATES, 1):
            g = GRADS[t - 1][layer]
            n2 = g @ g
            seeds = t == 1 if o["seed_second_moment"] == "first_step" else v == 0
            v = n2 if seeds else o["beta2"] * v + (1 - o["beta2"]) * n2
            c1, c2 = (1 - o["beta1"] ** t, 1 - o["beta2"] ** t) if o["bias_correction"] else (1, 1)
            u = g / (np.sqrt(v / c2) + o["eps"])
            if o["decoupled_weight_decay"]:
                m = o["beta1"] * m + u
                w -= lr * (m / c1 + o["weight_decay"] * w)
            else:
                m = o["beta1"] * m + u + o["weight_decay"] * w
                w -= lr * m / c1
    return weights


def distance(weights: list[Any], expected: list[Any]) -> float:
    return float(max(np.abs(np.asarray(w, np.float64) - e).max() / max(np.abs(e).max(), 1e-3)
                     for w, e in zip(weights, expected, strict=True)))


def by_plan(options: dict[str, Any], novograd: bool) -> list[Any]:
    sizes = [len(w) for w in START]
    weights, moment = np.concatenate(START).astype(np.float32), np.zeros(sum(sizes), np.float32)
    second = np.zeros(len(sizes), np.float32)
    with layerwise.Plan(sizes) as plan:
        for t, lr in enumerate(RATES):
            grads = np.concatenate(GRADS[t]).astype(np.float32)
            if novograd:
                plan.novograd_step(weights, grads, moment, second, lr=lr, step=t + 1, **BASE_NOVOGRAD | options)
            else:
                plan.larc_sgd_step(weights, grads, moment, lr=lr, step=t + 1, **BASE_SGD | options)
    return np.split(weights, np.cumsum(sizes)[:-1])


def by_torch(options: dict[str, Any], novograd: bool) -> list[Any]:
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    import layerwise.torch

    params = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float32)) for w in START]
    given = dict(BASE_NOVOGRAD | options if novograd else BASE_SGD | options)
    if novograd:
        optimizer: Any = layerwise.torch.NovoGrad(params, 1.0, (given.pop("beta1"), given.pop("beta2")), **given)
    else:
        optimizer = layerwise.torch.LARCSGD(params, 1.0, trust_coefficient=given.pop("eta"),
                                            clip=given.pop("mode") == "clip", **given)
    for t, lr in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = lr
        for p, g in zip(params, GRADS[t], strict=True):
            p.grad = torch.tensor(g, dtype=torch.float32)
        optimizer.step()
        if t == 2:  # what a mode needs of the past is in a checkpoint
            state = optimizer.state_dict()
            optimizer = type(optimizer)(params, 1.0)
            optimizer.load_state_dict(state)
    return [p.detach().numpy() for p in params]


def by_jax(options: dict[str, Any], novograd: bool) -> list[Any]:
    jax = pytest.importorskip("jax", reason="jax is not installed here")
    import layerwise.jax

    rates = jax.numpy.asarray(RATES, jax.numpy.float32)
    make = layerwise.jax.novograd if novograd else layerwise.jax.larc_sgd
    optimizer = make(lambda count: rates[count], **(BASE_NOVOGRAD | options if novograd else BASE_SGD | options))
    params = [jax.numpy.asarray(w, jax.numpy.float32) for w in START]
    state, step = optimizer.init(params), jax.jit(optimizer.step)
    for t in range(len(RATES)):
        params, state = step(params, [jax.numpy.asarray(g, jax.numpy.float32) for g in GRADS[t]], state)
    return [np.asarray(w) for w in params]


WAYS = {"plan": by_plan, "torch": by_torch, "jax": by_jax}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", LARC_SGD, ids=name_of)
def test_sgd_with_larc_follows_the_formula_of_each_mode(options: dict[str, Any], way: str) -> None:
    expected, default = sgd_model(options), sgd_model({"mode": options.get("mode", "scale"),
                                                       "eta": options.get("eta", 0.5),
                                                       "dampening": options.get("dampening", 0.0)})
    assert distance(default, expected) > 10 * BOUND
    assert distance(WAYS[way](options, False), expected) < BOUND


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", NOVOGRAD, ids=name_of)
def test_novograd_follows_the_formula_of_each_mode(options: dict[str, Any], way: str) -> None:
    expected = novograd_model(options)
    assert distance(novograd_model({}), expected) > 10 * BOUND
    assert distance(WAYS[way](options, True), expected) < BOUND


@pytest.mark.parametrize("name", ["off", "norms", "gradient", "both"])
def test_larc_around_another_optimizer_folds_as_the_step_in_one(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    import layerwise.torch

    def run(make: Any) -> Any:
        p = torch.nn.Parameter(torch.tensor(START[2], dtype=torch.float32))
        optimizer = make([p])
        for grads in GRADS:
            p.grad = torch.tensor(grads[2], dtype=torch.float32)
            optimizer.step()
        return p.detach()

    options = {"fold_weight_decay": name, "zero_norm": "unit", "zero_grad_norm": "formula", "clip": False,
               "max_update": 0.75, "trust_coefficient": 0.5}
    one = run(lambda params: layerwise.torch.LARCSGD(params, 0.1, 0.9, weight_decay=0.05, **options))
    both = run(lambda params: layerwise.torch.LARC(torch.optim.SGD(params, 0.1, 0.9, weight_decay=0.05), **options))
    assert torch.allclose(one, both, rtol=BOUND, atol=0)


def test_what_may_be_off_is_a_bool_in_a_group_and_a_name_where_it_is_more() -> None:
    """Older checkpoints hold bools, and programs ask `if group["fold_weight_decay"]`."""
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    import layerwise.torch

    for given, kept in [("off", False), (False, False), ("norms", True), (True, True), ("gradient", "gradient")]:
        optimizer = layerwise.torch.LARCSGD([torch.nn.Parameter(torch.ones(2))], 0.1, fold_weight_decay=given)
        assert optimizer.param_groups[0]["fold_weight_decay"] is kept or given == "gradient"
        assert optimizer.param_groups[0]["fold_weight_decay"] == kept


def test_decay_before_the_step_needs_a_step_that_writes_weights() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    import layerwise.torch

    sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1)
    with pytest.raises(layerwise.ArgumentError, match="fold_weight_decay is 'decoupled'; it needs sgd"):
        layerwise.torch.LARC(sgd, fold_weight_decay="decoupled")
