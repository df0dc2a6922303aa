"""OpenSeq2Seq's configuration dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

# What a key means: the keyword of the optimizer here. "epsilon" stands under NovoGrad's root in OpenSeq2Seq.
_OPTIMIZERS: dict[str, dict[str, str]] = {
    "NovoGrad": {"beta1": "beta1", "beta2": "beta2", "epsilon": "eps_root", "weight_decay": "weight_decay",
                 "grad_averaging": "grad_averaging"},
    "Momentum": {"momentum": "momentum", "use_nesterov": "nesterov"},
    "SGD": {},
}
_LARC = {"larc_eta": "trust_coefficient", "larc_mode": "clip", "min_update": "min_update", "epsilon": "eps"}
_LARC_MODES = {"clip": True, "scale": False}


def from_openseq2seq(config: Mapping[str, Any], params: Any, lr: Any, **options: Any) -> Optimizer:
    """The PyTorch optimizer that OpenSeq2Seq's dictionary asks for; needs PyTorch.

        from_openseq2seq({"optimizer": "NovoGrad",
                          "optimizer_params": {"beta1": 0.95, "beta2": 0.98, "epsilon": 1e-08, "weight_decay": 0.001},
                          "larc_params": {"larc_eta": 0.002}}, model.named_parameters(), lr=0.01)

    config   "optimizer": "NovoGrad", "Momentum" or "SGD"; "optimizer_params": beta1 (0.95), beta2 (0.98), epsilon
             (1e-8, under the root, as there), weight_decay (0) and grad_averaging (False), or momentum and
             use_nesterov (False); "larc_params", where LARC is wanted: larc_eta, larc_mode ("clip"), min_update
             (1e-7), epsilon (1e-7), with min_update where the weights are zero, as there
    params   parameters, (name, parameter) pairs, or groups
    lr       learning rate, a number or a tensor: the policy is the caller's, as a scheduler of the result
    options  more keywords of the optimizer, such as lr_mult, capturable, flatten, threads

    Returns `layerwise.torch.NovoGrad`, in `layerwise.torch.LARC` with larc_params; `layerwise.torch.LARCSGD` for the
    others, without larc_params with skip_larc: plain SGD. Raises ValueError naming an unknown key or optimizer, a
    missing key or a wrong value; ImportError without PyTorch.
    """
    _refuse_unknown(config, ("optimizer", "optimizer_params", "larc_params"), "config")
    name = config.get("optimizer")
    if name not in _OPTIMIZERS:
        raise ValueError(f"optimizer is {name!r}: it must be one of {', '.join(_OPTIMIZERS)}; others can be wrapped in "
                         "layerwise.torch.LARC")
    given = dict(config.get("optimizer_params") or {})
    _refuse_unknown(given, _OPTIMIZERS[name], f"optimizer_params of {name}")
    named = {_OPTIMIZERS[name][key]: value for key, value in given.items()}
    larc = None if config.get("larc_params") is None else _larc_options(config["larc_params"])
    if name == "NovoGrad":
        return _novograd(named, larc, params, lr, options)
    if name == "Momentum" and "momentum" not in named:
        raise ValueError("optimizer_params lacks momentum, which Momentum needs")
    from . import torch as layerwise_torch

    return layerwise_torch.LARCSGD(params, lr, **{"momentum": 0.0, **named, **(larc or {"skip_larc": True}), **options})


def _novograd(named: dict[str, Any], larc: dict[str, Any] | None, params: Any, lr: Any,
              options: dict[str, Any]) -> Optimizer:
    from . import torch as layerwise_torch

    betas = (named.pop("beta1", 0.95), named.pop("beta2", 0.98))
    optimizer = layerwise_torch.NovoGrad(
        params, lr, betas, **{"eps": 0.0, "eps_root": 1e-8, "weight_decay": 0.0, **named, **options})
    return optimizer if larc is None else layerwise_torch.LARC(
        optimizer, **larc, threads=optimizer.defaults["threads"])


def _larc_options(params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unknown(params, _LARC, "larc_params")
    if "larc_eta" not in params:
        raise ValueError("larc_params lacks larc_eta")
    values = {"larc_mode": "clip", "min_update": 1e-7, "epsilon": 1e-7, **params}
    if values["larc_mode"] not in _LARC_MODES:
        raise ValueError(f"larc_mode is {values['larc_mode']!r}: it must be 'clip' or 'scale'")
    values["larc_mode"] = _LARC_MODES[values["larc_mode"]]
    return {"zero_norm": "floor", **{_LARC[key]: value for key, value in values.items()}}


def _refuse_unknown(given: Mapping[str, Any], known: Any, where: str) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"{where} has unknown keys: {', '.join(map(repr, unknown))}; known: "
                         f"{', '.join(known) or 'none'}")
