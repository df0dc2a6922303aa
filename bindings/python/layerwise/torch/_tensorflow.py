"""OpenSeq2Seq's checkpoints, as state of a model and its optimizer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._tensor_bundle import read_checkpoint
from ._larc_sgd import LARCSGD
from ._novograd import NovoGrad

_SCOPE = "Loss_Optimization/"
_MASTER = _SCOPE + "FP32-master-copy/"
_SLOTS: dict[type, tuple[str, str]] = {NovoGrad: ("NovoGrad", "first_moment"), LARCSGD: ("Momentum", "momentum_buffer")}
_KERNEL_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}  # [in, out], [k, in, out], [h, w, in, out]


class TensorFlowState(NamedTuple):
    """What a checkpoint of OpenSeq2Seq holds, for torch."""

    model: dict[str, Tensor]  #: by parameter name, for model.load_state_dict(..., strict=False)
    optimizer: dict[str, Any]  #: for optimizer.load_state_dict
    step: int  #: steps that the run has behind it: steps_taken of `layerwise.schedule_from_openseq2seq`
    scale: float | None  #: Backoff's loss scale, for GradScaler.update; None where there is none


def state_from_openseq2seq(checkpoint: str | os.PathLike[str], optimizer: Any,
                           variables: Mapping[str, str] | Callable[[str], str]) -> TensorFlowState:
    """Reads a TensorFlow 1 checkpoint of an OpenSeq2Seq run, without TensorFlow; changes nothing.

        variables = {"conv1.weight": "ForwardPass/enc/conv1/kernel"}
        state = layerwise.torch.state_from_openseq2seq("run/model-1000", optimizer, variables)
        model.load_state_dict(state.model, strict=False)
        optimizer.load_state_dict(state.optimizer)

    checkpoint  prefix of its files, or the .index
    optimizer   that of `layerwise.from_openseq2seq`, made with (name, parameter) pairs: a NovoGrad, in LARC or not, or
                a LARCSGD. Its options stay its own
    variables   the names that the parameters had there, by parameter name, or a function of it; names that the
                optimizer does not have (buffers: {"bn.running_mean": ".../moving_mean"}) are the model's alone

    Weights are the float32 master copies where the run was in mixed precision. Variables called kernel are brought from
    TensorFlow's order of axes into torch's ([in, out], [k, in, out], [h, w, in, out]), others are taken as they are.
    Momentum is as it is there, lr outside; second moments are 0, as there, and start from the next |g|^2.

    Raises ValueError naming a parameter without a name or variable, a variable that the checkpoint lacks, one of
    another shape, or an optimizer whose state is not read; OSError for files that cannot be read.
    """
    inner = getattr(optimizer, "optimizer", optimizer)
    if type(inner) not in _SLOTS:
        raise ValueError(f"optimizer is a {type(inner).__name__}: only NovoGrad's and LARCSGD's state is read")
    arrays = read_checkpoint(checkpoint)
    step = int(_held(arrays, "global_step"))
    slot, model, states, saved, number = _SLOTS[type(inner)][0], {}, {}, optimizer.state_dict(), 0
    for group in inner.param_groups:
        if group["params"] and not group.get("param_names"):
            raise ValueError("parameters have no names: make the optimizer with model.named_parameters()")
        for name, parameter in zip(group.get("param_names", ()), group["params"], strict=True):
            variable = variables.get(name) if isinstance(variables, Mapping) else variables(name)
            if variable is None:
                raise ValueError(f"variables lacks {name!r}: it must name every parameter's variable")
            weight = _weight_name(arrays, variable)
            model[name], moment = (_of_shape(arrays, key, variable, name, parameter)
                                   for key in (weight, f"{_SCOPE}{weight}/{slot}"))
            states[number] = _state(inner, group, moment, step)
            number += 1
    for name, variable in variables.items() if isinstance(variables, Mapping) else ():
        if name not in model:
            model[name] = _turned(arrays, _weight_name(arrays, variable), variable)
    return TensorFlowState(model, {**saved, "state": states}, step, _scale(arrays))


def _weight_name(arrays: Mapping[str, Any], variable: str) -> str:
    """The float32 master copy's, where there is one."""
    master = _MASTER + variable.removeprefix(_MASTER)
    return master if master in arrays else variable


def _turned(arrays: Mapping[str, Any], key: str, variable: str) -> Tensor:
    """An array of the checkpoint in torch's order of axes."""
    array = _held(arrays, key)
    if variable.rpartition("/")[2] == "kernel":
        array = np.transpose(array, _KERNEL_AXES.get(array.ndim))
    return torch.tensor(np.ascontiguousarray(array).reshape(array.shape))


def _of_shape(arrays: Mapping[str, Any], key: str, variable: str, name: str, parameter: Tensor) -> Tensor:
    value = _turned(arrays, key, variable)
    if value.shape != parameter.shape:
        raise ValueError(f"{key} has shape {arrays[key].shape}, {tuple(value.shape)} in torch's order of axes, and "
                         f"{name} {tuple(parameter.shape)}")
    return value


def _state(optimizer: Any, group: Mapping[str, Any], moment: Tensor, step: int) -> dict[str, Any]:
    state: dict[str, Any] = {"step": torch.tensor(step)}
    if isinstance(optimizer, NovoGrad):
        names = ("second_moment", "max_second_moment") if group["amsgrad"] else ("second_moment",)
        state.update({name: torch.zeros(()) for name in names})
    if isinstance(optimizer, NovoGrad) or group["momentum"]:
        state[_SLOTS[type(optimizer)][1]] = moment
    return state


def _held(arrays: Mapping[str, Any], key: str) -> Any:
    if key not in arrays:
        raise ValueError(f"the checkpoint has no {key!r}; it has {', '.join(map(repr, sorted(arrays)))}")
    return arrays[key]


def _scale(arrays: Mapping[str, Any]) -> float | None:
    """Backoff's third variable; the others count steps."""
    scale = arrays.get(_SCOPE + "Variable_2")
    return None if scale is None or scale.dtype != np.float32 else float(scale)
