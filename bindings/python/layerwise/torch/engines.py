"""This package's optimizers under the names by which an engine chooses one.

    layerwise.torch.engines.register_megatron()
    config = megatron.core.optimizer.OptimizerConfig(optimizer="novograd", lr=0.01, bf16=True)
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ._larc_sgd import LARCSGD
from ._novograd import NovoGrad
from ._optimizer import LayerwiseOptimizer
from ._state import fresh_state

__all__ = ["register_megatron"]


class _InMegatron(LayerwiseOptimizer):
    """Megatron saves state that has its parameter's shape, a shared number of steps, and nothing else: the values of
    which a layer has one are saved once for each element, and one is taken when they are loaded."""

    _engine_takes_layers_away = True

    def state_dict(self) -> dict[str, Any]:
        saved = super().state_dict()
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        one_a_layer = self._one_a_layer()
        saved["state"] = {
            index: {name: value.expand(parameters[index].shape).contiguous() if name in one_a_layer else value
                    for name, value in values.items()} for index, values in saved["state"].items()}
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        one_a_layer = self._one_a_layer()
        state = {index: {name: _one(value, name, index) if name in one_a_layer else value
                         for name, value in values.items()} for index, values in state_dict["state"].items()}
        super().load_state_dict({**state_dict, "state": state})

    def _one_a_layer(self) -> set[str]:
        return {name for group in self.param_groups for name in self._spec(group).per_layer}


class _NovoGrad(_InMegatron, NovoGrad):
    pass


class _LARCSGD(_InMegatron, LARCSGD):
    pass


def _one(value: Any, name: str, index: Any) -> Any:
    """Raises ValueError for values that differ: another optimizer's, or another layer's among them."""
    if not isinstance(value, Tensor) or value.numel() < 2:
        return value
    first = value.flatten()[0]
    if not torch.equal(value, first.expand_as(value)):
        raise ValueError(f"{name} of parameter {index} has {value.numel()} values in the checkpoint that are not all "
                         "the same: a layer has one")
    return first.clone()


def _init_state(optimizer: Any, config: Any = None) -> None:
    """Masters are parameters that need no gradient."""
    for group in optimizer.param_groups:
        spec = optimizer._spec(group)
        for parameter in group["params"]:
            if not optimizer.state.get(parameter):
                optimizer.state[parameter] = fresh_state(parameter, spec)


# What the configuration calls an option where that is not the option's own name with the optimizer's before it.
_OPTIMIZERS: dict[str, tuple[type[_InMegatron], dict[str, str]]] = {
    "novograd": (_NovoGrad, {"lr": "lr", "weight_decay": "weight_decay",
                             "decoupled_weight_decay": "decoupled_weight_decay"}),
    "larcsgd": (_LARCSGD, {"lr": "lr", "weight_decay": "weight_decay", "momentum": "sgd_momentum"}),
}
_FIELDS = ("optimizer_cls", "init_state_fn", "config_to_kwargs", "default_param_overrides")
_CREATED_WITH = ("config", "param_groups", "eopt_name", "model_chunks", "pg_collection")
_WRITTEN_FOR = "0.19"


def register_megatron(novograd: Mapping[str, Any] | None = None, larcsgd: Mapping[str, Any] | None = None) -> None:
    """Adds `NovoGrad` and `LARCSGD` to the table from which Megatron-core takes an optimizer by its name, as "novograd"
    and "larcsgd", for every parameter, biases and norms too. With use_layer_wise_distributed_optimizer, which is for
    bf16, each rank steps whole layers of its own.

    novograd, larcsgd   options beside those of the OptimizerConfig: of `NovoGrad` lr, weight_decay and
                        decoupled_weight_decay (which is True there unless it is set), of `LARCSGD` lr, weight_decay and
                        sgd_momentum; of both what a configuration of your own has as novograd_NAME or larcsgd_NAME

    wd_mult and lr_mult of Megatron's groups are Megatron's. A checkpoint has second moments in a form that Megatron
    saves, once for each element of a layer: making one takes a float32 of this rank's parameters more. To be called on
    every rank, before get_megatron_optimizer.

    Raises ImportError where Megatron-core or emerging-optimizers, which Megatron asks for, is not installed,
    RuntimeError where its table is not that of 0.19, TypeError for an option that the optimizer does not have.
    """
    given = {"novograd": dict(novograd or {}), "larcsgd": dict(larcsgd or {})}
    for name, (kind, _) in _OPTIMIZERS.items():
        strange = sorted(given[name].keys() - inspect.signature(kind).parameters.keys())
        if strange:
            raise TypeError(f"{name} has {', '.join(strange)}: {kind.__bases__[1].__name__} has no such option")
    table, entry = _megatron_table()
    table.update({name: entry(optimizer_cls=kind, init_state_fn=_init_state, default_param_overrides={},
                              config_to_kwargs=_arguments_of(name, given[name]))
                  for name, (kind, _) in _OPTIMIZERS.items()})


def _arguments_of(name: str, given: Mapping[str, Any]) -> Callable[[Any, Any, Any], dict[str, Any]]:
    kind, called = _OPTIMIZERS[name]

    def arguments(config: Any, model_chunks: Any = None, pg_collection: Any = None) -> dict[str, Any]:
        found = {option: getattr(config, theirs) for option, theirs in called.items()}
        own = {option: getattr(config, f"{name}_{option}") for option in inspect.signature(kind).parameters
               if hasattr(config, f"{name}_{option}")}
        return {**found, **own, "group_multipliers": "ignore", **given}

    return arguments


def _megatron_table() -> tuple[dict[str, Any], Callable[..., Any]]:
    try:
        module = importlib.import_module("megatron.core.optimizer.emerging_optimizers")
        version = getattr(importlib.import_module("megatron.core"), "__version__", "of an unknown version")
    except ImportError as problem:
        raise ImportError(f"register_megatron needs Megatron-core {_WRITTEN_FOR}, whose table of optimizers cannot be "
                          f"imported: {problem}") from problem
    table, entry = getattr(module, "_EMERGING_OPTIMIZERS", None), getattr(module, "EmergingOptimizerEntry", None)
    created_with = _parameters_of(getattr(module, "_create_emerging_optimizer", None))
    if not isinstance(table, dict) or _parameters_of(entry) != _FIELDS or created_with != _CREATED_WITH:
        raise RuntimeError(f"Megatron-core {version} has another table of optimizers than {_WRITTEN_FOR}, for which "
                           f"register_megatron is written: its entries have {_parameters_of(entry)}, not {_FIELDS}, or "
                           f"are made with {created_with}, not {_CREATED_WITH}")
    if not getattr(module, "HAVE_EMERGING_OPTIMIZERS", False):
        raise ImportError("Megatron-core takes an optimizer from its table only where emerging-optimizers is "
                          "installed: pip install emerging-optimizers")
    return table, entry  # type: ignore[return-value]  # callable, or it had no parameters


def _parameters_of(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters) if callable(function) else ()
