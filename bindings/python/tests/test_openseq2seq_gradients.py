"""What OpenSeq2Seq's configurations do to gradients before the step: the regularizer, and the limit of their norm.

There the regularizer's scale/2 |w|^2 is part of the loss, so its gradient is in what is clipped and in the norms of
LARC and NovoGrad. By hand in float64, or by torch's own optimizers.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing

import layerwise

torch = torch_models.torch
MOMENTUM = {"optimizer": "Momentum", "optimizer_params": {"momentum": 0.9}}
NOVOGRAD = {"optimizer": "NovoGrad", "optimizer_params": {"beta1": 0.9, "beta2": 0.5}}
ADAM = {"optimizer": "Adam", "optimizer_params": {"epsilon": 1e-4}}
L2 = {"regularizer": "l2_regularizer", "regularizer_params": {"scale": 0.1}}
WEIGHTS = {"weight": [[3.0, 4.0]], "bias": [1.0, 2.0]}
GRADS = {"weight": [[0.3, 0.4]], "bias": [6.0, 8.0]}


def network() -> dict[str, Any]:
    parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in WEIGHTS.items()}
    put_gradients(parameters)
    return parameters


def put_gradients(parameters: dict[str, Any]) -> None:
    for name, parameter in parameters.items():
        parameter.grad = torch.tensor(GRADS[name])


def stepped(config: Any, steps: int = 3, **options: Any) -> dict[str, Any]:
    parameters = network()
    optimizer = layerwise.from_openseq2seq(config, parameters.items(), 0.1, **options)
    for _ in range(steps):
        put_gradients(parameters)
        optimizer.step()
    return {name: parameter.detach().numpy() for name, parameter in parameters.items()}


def close(got: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, atol=1e-7)


def by_torch(make: Any, before: Any = lambda parameters: None) -> dict[str, Any]:
    parameters = network()
    optimizer = make(list(parameters.values()))
    for _ in range(3):
        put_gradients(parameters)
        before(parameters)
        optimizer.step()
    return {name: parameter.detach().numpy() for name, parameter in parameters.items()}


def test_without_larc_the_regularizer_is_torchs_weight_decay() -> None:
    close(stepped({**MOMENTUM, **L2}), by_torch(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1)))
    close(stepped({**ADAM, **L2}), by_torch(lambda p: torch.optim.Adam(p, 0.1, eps=1e-4, weight_decay=0.1)))


def test_novograd_divides_by_the_norm_of_the_decayed_gradient() -> None:
    """The first step is lr long, whatever the decay: u = (g + s*w)/|g + s*w|."""
    got = stepped({**NOVOGRAD, **L2}, steps=1)
    for name in WEIGHTS:
        w, g = np.float64(WEIGHTS[name]), np.float64(GRADS[name])
        h = g + 0.1 * w
        np.testing.assert_allclose(got[name], w - 0.1 * h / np.linalg.norm(h), rtol=1e-6)


@pytest.mark.parametrize("mode", ["clip", "scale"])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=["Momentum", "Adam"])
def test_larc_takes_the_norm_of_the_decayed_gradient(optimizer: Any, mode: str) -> None:
    """r = eta |w| / (|g + s*w| + eps), over lr and at most 1 with clip; the optimizer gets r (g + s*w)."""
    got = stepped({**optimizer, **L2, "larc_params": {"larc_eta": 0.01, "larc_mode": mode}})

    def before(parameters: dict[str, Any]) -> None:
        for parameter in parameters.values():
            w, g = parameter.detach().double(), parameter.grad.double()
            h = g + 0.1 * w
            r = 0.01 * w.norm() / (h.norm() + 1e-7)
            parameter.grad = ((r / 0.1).clamp(max=1) if mode == "clip" else r).mul(h).float()

    kind = (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)) if optimizer is MOMENTUM else (
        lambda p: torch.optim.Adam(p, 0.1, eps=1e-4))
    close(got, by_torch(kind, before))


def test_larc_with_momentum_decays_in_its_one_pass_and_leaves_gradients_as_they_are() -> None:
    """Hazard: a pass of its own over weights and gradients, and gradients that a summary or a second step finds decayed."""
    parameters = network()
    optimizer: Any = layerwise.from_openseq2seq({**MOMENTUM, **L2, "larc_params": {"larc_eta": 0.01}}, parameters.items(),
                                                0.1, wd_mult=lambda name, parameter: float(parameter.ndim > 1))
    optimizer.step()
    for name, parameter in parameters.items():
        assert parameter.grad.tolist() == torch.tensor(GRADS[name]).tolist()
    assert optimizer.param_groups[0]["fold_weight_decay"] == "gradient"
    norms = {name: values.grad_norm for name, values in optimizer.layer_stats().items()}
    assert norms["weight"] == pytest.approx(np.linalg.norm([0.6, 0.8])) and norms["bias"] == pytest.approx(10)


@pytest.mark.parametrize(("config", "kind"), [
    (MOMENTUM, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)), (ADAM, lambda p: torch.optim.Adam(p, 0.1, eps=1e-4)),
    (NOVOGRAD, lambda p: layerwise.torch.NovoGrad(p, 0.1, betas=(0.9, 0.5), eps=0, eps_root=1e-8, weight_decay=0.0))])
@pytest.mark.parametrize("l2", [{}, L2], ids=["bare", "regularized"])
@pytest.mark.parametrize("most", [0.25, 100.0])
def test_the_norm_of_all_gradients_is_limited(config: Any, kind: Any, l2: Any, most: float) -> None:
    """The regularizer's part is in the norm, and is clipped too: g * most/max(|all g|, most)."""
    def before(parameters: dict[str, Any]) -> None:
        grads = {name: p.grad.double() + (0.1 * p.detach().double() if l2 else 0) for name, p in parameters.items()}
        norm = torch.cat([grad.flatten() for grad in grads.values()]).norm()
        for name, parameter in parameters.items():
            parameter.grad = (grads[name] * most / norm.clamp(min=most)).float()

    close(stepped({**config, **l2, "max_grad_norm": most}), by_torch(kind, before))


def test_the_regularizer_takes_the_parameters_that_are_named() -> None:
    for config in (MOMENTUM, ADAM, {**MOMENTUM, "larc_params": {"larc_eta": 0.01}}):
        everywhere, nowhere = stepped({**config, **L2}), stepped(config)
        weights = stepped({**config, **L2}, regularize=layerwise.torch.is_weight)
        close(weights, {"weight": everywhere["weight"], "bias": nowhere["bias"]})
        assert not np.allclose(everywhere["bias"], nowhere["bias"], rtol=1e-6)


def test_gradients_that_a_closure_makes_are_prepared() -> None:
    config = {**ADAM, **L2, "max_grad_norm": 0.25}
    parameters = network()
    optimizer = layerwise.from_openseq2seq(config, parameters.items(), 0.1)
    for call in (lambda closure: optimizer.step(closure), lambda closure: optimizer.step(closure=closure), None):
        def closure() -> Any:
            put_gradients(parameters)
            return torch.tensor(0.5)
        if call is None:
            closure()
            optimizer.step()
        else:
            assert call(closure) == 0.5
    close({name: parameter.detach().numpy() for name, parameter in parameters.items()}, stepped(config))


def test_a_norm_that_is_not_finite_reaches_no_weights() -> None:
    """The norm is of all, so every gradient is nan; NovoGrad leaves out such layers, and counts them."""
    parameters = network()
    optimizer: Any = layerwise.from_openseq2seq({**NOVOGRAD, "max_grad_norm": 1.0}, parameters.items(), 0.1)
    parameters["bias"].grad[0] = torch.inf
    before = copy.deepcopy(parameters)
    optimizer.step()
    assert all(torch.equal(parameters[name], before[name]) for name in parameters)
    assert optimizer.nonfinite_layers() == 2


@pytest.mark.parametrize(("config", "options", "text"), [
    ({**MOMENTUM, "max_grad_norm": 1.0, "larc_params": {"larc_eta": 0.1}}, {}, "max_grad_norm is 1.0 beside larc_pa"),
    ({**MOMENTUM, "max_grad_norm": 0.0}, {}, "max_grad_norm is 0.0: it must be a finite number, positive"),
    ({**MOMENTUM, "max_grad_norm": "1"}, {}, "max_grad_norm is '1'"),
    ({**MOMENTUM, **L2, "regularizer": "l1_regularizer"}, {}, "regularizer is 'l1_regularizer': it must be l2_reg"),
    ({**MOMENTUM, "regularizer": "l2_regularizer"}, {}, "regularizer_params lacks scale"),
    ({**MOMENTUM, **L2, "regularizer_params": {"scale": -1.0}}, {}, "scale of regularizer_params is -1.0"),
    ({**MOMENTUM, **L2, "regularizer_params": {"rate": 1.0}}, {}, "regularizer_params has unknown keys: 'rate'"),
    ({**MOMENTUM, **L2}, {"weight_decay": 0.1}, "weight_decay is 0.1 beside the configuration's regularizer"),
    (MOMENTUM, {"regularize": layerwise.torch.is_weight}, "regularize is given, and the configuration has no"),
    ({**MOMENTUM, "dtype": "half"}, {}, "dtype is 'half'"), ({**MOMENTUM, "iter_size": 0}, {}, "iter_size is 0"),
    ({**MOMENTUM, "iter_size": 1.5}, {}, "iter_size is 1.5"),
    ({"optimizer": "AdamW"}, {}, "optimizer_params lacks weight_decay, which AdamW needs"),
    ({**NOVOGRAD, "max_grad_norm": 1.0}, {"unscale_in_step": True}, "unscale_in_step and fused must be False"),
    ({**ADAM, "max_grad_norm": 1.0}, {"fused": True}, "unscale_in_step and fused must be False")])
def test_what_does_not_go_together_is_refused_by_name(config: Any, options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        layerwise.from_openseq2seq(config, network().items(), 0.1, **options)


def test_mixed_precision_needs_the_master_copies() -> None:
    half = [torch.nn.Parameter(torch.ones(2, dtype=torch.float16))]
    with pytest.raises(ValueError, match="dtype is 'mixed', and a parameter is torch.float16"):
        layerwise.from_openseq2seq({**MOMENTUM, "dtype": "mixed"}, half, 0.1)


@pytest.mark.parametrize(("config", "kind"), [({"optimizer": "AdamW", "optimizer_params": {
    "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.1}}, "AdamW"), ({"optimizer": "LazyAdam"}, "Adam")])
def test_adams_are_torchs_inside_larc_where_it_is_asked_for(config: Any, kind: str) -> None:
    bare = layerwise.from_openseq2seq(config, network().items(), 0.1)
    assert type(bare) is getattr(torch.optim, kind)
    wrapped: Any = layerwise.from_openseq2seq({**config, "larc_params": {"larc_eta": 0.02}}, network().items(), 0.1,
                                              skip_larc=layerwise.torch.is_bias_or_norm, threads=1)
    assert type(wrapped) is layerwise.torch.LARC and type(wrapped.optimizer) is getattr(torch.optim, kind)
    assert wrapped.options["trust_coefficient"] == 0.02 and wrapped.options["threads"] == 1
    group = wrapped.param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == (
        ((0.8, 0.99), 1e-6, 0.1) if kind == "AdamW" else ((0.9, 0.999), 1e-8, 0))
    assert group["skip_larc"] == (False, True)


def by_tensorflow(epsilon: float, weight_decay: float, l2: float, steps: int) -> dict[str, Any]:
    """TensorFlow 1.15's AdamOptimizer, and contrib's AdamWOptimizer around it, by their documented rules in float64."""
    found = {}
    for name in WEIGHTS:
        w, g, m, v = np.float64(WEIGHTS[name]), np.float64(GRADS[name]), 0.0, 0.0
        for t in range(1, steps + 1):
            h = g + l2 * w
            m, v = 0.9 * m + 0.1 * h, 0.999 * v + 0.001 * h * h
            w = (1 - weight_decay) * w - 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon)
        found[name] = w
    return found


@pytest.mark.parametrize("l2", [{}, L2], ids=["bare", "regularized"])
@pytest.mark.parametrize(("optimizer", "weight_decay"), [("Adam", 0.0), ("AdamW", 0.05)])
def test_as_run_adam_is_tensorflows(optimizer: str, weight_decay: float, l2: Any) -> None:
    """epsilon is added before the bias correction, and AdamW's decay is not times lr."""
    params = {"epsilon": 0.1, **({"weight_decay": weight_decay} if weight_decay else {})}
    config = {"optimizer": optimizer, "optimizer_params": params, **l2}
    expected = by_tensorflow(0.1, weight_decay, 0.1 if l2 else 0.0, 4)
    close(stepped(config, 4, as_run=True), expected)
    assert not np.allclose(stepped(config, 4)["weight"], expected["weight"], rtol=1e-3)


def test_as_run_adam_goes_on_from_a_checkpoint_as_if_uninterrupted() -> None:
    config = {"optimizer": "AdamW", "optimizer_params": {"epsilon": 0.1, "weight_decay": 0.05}}
    parameters = network()
    saved: Any = None
    for _ in range(2):
        optimizer = layerwise.from_openseq2seq(config, parameters.items(), 0.1, as_run=True)
        if saved is not None:
            optimizer.load_state_dict(saved)
        for _ in range(2):
            put_gradients(parameters)
            optimizer.step()
        saved = copy.deepcopy(optimizer.state_dict())
    close({name: parameter.detach().numpy() for name, parameter in parameters.items()},
          by_tensorflow(0.1, 0.05, 0.0, 4))


@pytest.mark.parametrize("with_closure", [False, True])
def test_as_run_adam_inside_larc_decays_after_the_factor(with_closure: bool) -> None:
    """r = eta |w| / (lr (|g| + eps)) of the weights before their decay; TensorFlow's first step of Adam is then
    lr * h / (|h| + epsilon / sqrt(1 - beta2)), h = r g."""
    config = {"optimizer": "AdamW", "optimizer_params": {"epsilon": 0.01, "weight_decay": 0.05},
              "larc_params": {"larc_eta": 0.001}}
    parameters = network()
    optimizer = layerwise.from_openseq2seq(config, parameters.items(), 0.1, as_run=True)
    optimizer.step((lambda: put_gradients(parameters)) if with_closure else None)
    for name, parameter in parameters.items():
        w, g = np.float64(WEIGHTS[name]), np.float64(GRADS[name])
        h = min(0.001 * np.linalg.norm(w) / (0.1 * (np.linalg.norm(g) + 1e-7)), 1) * g
        expected = 0.95 * w - 0.1 * h / (np.abs(h) + 0.01 / np.sqrt(0.001))
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))],
                         ids=["copy", "pickle"])
@pytest.mark.parametrize("config", [{**NOVOGRAD, "max_grad_norm": 0.25}, {**MOMENTUM, **L2, "max_grad_norm": 0.25},
                                    {**MOMENTUM, **L2, "larc_params": {"larc_eta": 0.01}},
                                    {**NOVOGRAD, **L2, "larc_params": {"larc_eta": 0.01}}],
                         ids=["NovoGrad", "limited", "LARCSGD", "LARC"])
def test_copies_and_pickles_prepare_gradients_too(config: Any, again: Any) -> None:
    parameters = network()
    optimizer = layerwise.from_openseq2seq(config, parameters.items(), 0.1)
    for _ in range(3):
        parameters, optimizer = again((parameters, optimizer))
        put_gradients(parameters)
        optimizer.step()
    close({name: parameter.detach().numpy() for name, parameter in parameters.items()}, stepped(config))


@pytest.mark.parametrize("config", [{**NOVOGRAD, **L2}, {**NOVOGRAD, **L2, "larc_params": {"larc_eta": 0.1}},
                                    {**MOMENTUM, **L2, "larc_params": {"larc_eta": 0.1}}],
                         ids=["NovoGrad", "LARC and NovoGrad", "LARC and Momentum"])
def test_a_question_for_the_state_is_no_step_of_the_regularizer(config: Any) -> None:
    """torch.distributed.checkpoint asks by a step with lr 0 and gradients of 0, which scale*w must not fill. Right: a run
    that was not asked."""
    weights = []
    for is_asked in (False, True):
        parameters = network()
        optimizer = layerwise.from_openseq2seq(config, parameters.items(), 0.1)
        if is_asked:
            for parameter in parameters.values():
                parameter.grad = torch.zeros_like(parameter)
            rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = 0.0
            optimizer.step()
            for group, lr in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = lr
            assert all(not parameter.grad.any() for parameter in parameters.values())
        for _ in range(2):
            put_gradients(parameters)
            optimizer.step()
        weights.append({name: parameter.detach().numpy() for name, parameter in parameters.items()})
    close(*weights)
