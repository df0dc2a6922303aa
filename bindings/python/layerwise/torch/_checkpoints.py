"""Checkpoints of other NovoGrads: timm's NvNovoGrad and apex's FusedNovoGrad.

timm keeps for each parameter step, exp_avg and the 0-d exp_avg_sq, the averaged SQUARE of the norm: v as here.
apex keeps for each parameter exp_avg; in the group step, and exp_avg_sq = [vector, vector] of the averaged NORMS of the
float16 and the float32 parameters, in the order of those that had gradients. With the L2 norm v is their square.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ._multipliers import OPTION, SHARED_NAMES
from ._novograd import NovoGrad

StateDict = dict[Any, Any]

_TIMM = {"exp_avg": "first_moment", "exp_avg_sq": "second_moment", "max_exp_avg_sq": "max_second_moment"}
_TIMM_OPTIONS = ("lr", "betas", "eps", "weight_decay", "grad_averaging", "amsgrad")
_APEX_OPTIONS = ("lr", "betas", "eps", "weight_decay", "grad_averaging", "bias_correction")
_APEX_NORMS = {0: "inf", 2: "l2"}
_APEX_DTYPES = (torch.float16, torch.float32)  # of the parameters, in the order of exp_avg_sq


def load_timm_state_dict(optimizer: NovoGrad, state_dict: Mapping[str, Any]) -> None:
    """Loads the state_dict of timm's NvNovoGrad, its options included; those it does not know stay as they are.

    Raises ValueError for timm's corrected_weight_decay, which follows lr at each step (`like("timm.novogradc")` does),
    and as `NovoGrad.load_state_dict`.
    """
    _refuse(any(group.get("decoupled_decay") and group.get("corrected_weight_decay")
                for group in state_dict["param_groups"]), "corrected_weight_decay")
    state = {key: {_TIMM.get(name, name): value for name, value in values.items()}
             for key, values in state_dict["state"].items()}
    groups = [{**_with_options(mine, theirs, _TIMM_OPTIONS),
               "decoupled_weight_decay": "normalized" if theirs.get("decoupled_decay") else "off"}
              for mine, theirs in _paired(optimizer, state_dict)]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def timm_state_dict(optimizer: NovoGrad) -> StateDict:
    """The optimizer's state and options as timm's NvNovoGrad loads them; tensors are copies, exp_avg in its parameter's
    dtype. Raises ValueError for options that timm's lacks."""
    for group in optimizer.param_groups:
        _refuse_options(group, bias_correction=False, norm="l2", eps_root=0.0, seed_second_moment=True,
                        lr_in_momentum=False, maximize=False, average_first_step=True)
        _refuse(group["decoupled_weight_decay"] is True, "decoupled_weight_decay 'raw'")
        _refuse_multipliers(group)
    own = optimizer.state_dict()
    names = {ours: theirs for theirs, ours in _TIMM.items()}
    state: StateDict = {}
    for key, parameter in _keyed(optimizer, own):
        values = own["state"].get(key)
        if values:
            state[key] = {"step": int(values["step"]), **{
                names[name]: _copy(value, parameter if name == "first_moment" else None)
                for name, value in values.items() if name in names}}
    groups = [{**{name: _number(group[name]) for name in _TIMM_OPTIONS},
               "decoupled_decay": group["decoupled_weight_decay"] == "normalized", "corrected_weight_decay": False,
               "max_lr_snapshot": _number(group["lr"]), "params": saved["params"]}
              for group, saved in zip(optimizer.param_groups, own["param_groups"], strict=True)]
    return {"state": state, "param_groups": groups}


def load_apex_state_dict(optimizer: NovoGrad, state_dict: Mapping[str, Any]) -> None:
    """Loads the state_dict of apex's FusedNovoGrad, its options included.

    apex does not save reg_inside_moment (its default False is decoupled_weight_decay=True here): that, and whatever
    else it does not know, stays as the optimizer was made. Raises ValueError where the norms are not one for each
    parameter with state, and as `NovoGrad.load_state_dict`.
    """
    state: StateDict = {}
    groups = []
    for mine, theirs in _paired(optimizer, state_dict):
        norm = _APEX_NORMS[theirs["norm_type"]]
        norms = [[] if vector is None else list(vector) for vector in theirs.get("exp_avg_sq", (None, None))]
        for key in theirs["params"]:
            values = state_dict["state"].get(key)
            if not values:
                continue
            kind = _APEX_DTYPES.index(values["exp_avg"].dtype)
            if not norms[kind]:
                raise ValueError(f"exp_avg_sq[{kind}] lacks norms: more {_APEX_DTYPES[kind]} parameters have exp_avg")
            value = norms[kind].pop(0)
            state[key] = {"step": theirs["step"], "first_moment": values["exp_avg"],
                          "second_moment": value.double().square() if norm == "l2" else value}
        if any(norms):
            raise ValueError(f"exp_avg_sq has {sum(map(len, norms))} norms more than parameters have exp_avg")
        groups.append({**_with_options(mine, theirs, _APEX_OPTIONS), "norm": norm,
                       "seed_second_moment": not theirs["init_zero"] and "first_step", "amsgrad": False})
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def apex_state_dict(optimizer: NovoGrad) -> StateDict:
    """The optimizer's state and options as apex's FusedNovoGrad loads them; tensors are copies, exp_avg in its
    parameter's dtype. decoupled_weight_decay is apex's reg_inside_moment=False, which is not saved. Raises ValueError
    for options and dtypes that apex's lacks, and where the parameters of a group differ in their number of steps."""
    own = optimizer.state_dict()
    parameters = dict(_keyed(optimizer, own))
    state: StateDict = {}
    groups = []
    for group, saved in zip(optimizer.param_groups, own["param_groups"], strict=True):
        _refuse_options(group, amsgrad=False, eps_root=0.0, lr_in_momentum=False, maximize=False,
                        average_first_step=True)
        _refuse_multipliers(group)
        norms: tuple[list[Tensor], list[Tensor]] = ([], [])
        steps = set()
        for key in saved["params"]:
            values = own["state"].get(key)
            if not values:
                continue
            _refuse(parameters[key].dtype not in _APEX_DTYPES, f"{parameters[key].dtype} parameters")
            value = values["second_moment"].double()
            norms[_APEX_DTYPES.index(parameters[key].dtype)].append(value.sqrt() if group["norm"] == "l2" else value)
            state[key] = {"exp_avg": _copy(values["first_moment"], parameters[key])}
            steps.add(int(values["step"]))
        _refuse(len(steps) > 1, "parameters of one group at different steps")
        groups.append({
            **{name: _number(group[name]) for name in _APEX_OPTIONS}, "init_zero": not group["seed_second_moment"],
            "norm_type": next(number for number, name in _APEX_NORMS.items() if name == group["norm"]),
            **({"step": steps.pop(), "exp_avg_sq": [_vector(part) for part in norms]} if steps else {}),
            "params": saved["params"]})
    return {"state": state, "param_groups": groups}


def _paired(optimizer: NovoGrad, state_dict: Mapping[str, Any]) -> Iterator[tuple[StateDict, StateDict]]:
    mine, theirs = optimizer.state_dict()["param_groups"], state_dict["param_groups"]
    if len(mine) != len(theirs):
        raise ValueError(f"the state dict has {len(theirs)} parameter groups: the optimizer has {len(mine)}")
    return zip(mine, theirs, strict=True)


def _with_options(mine: StateDict, theirs: StateDict, names: tuple[str, ...]) -> StateDict:
    return {**mine, **{name: theirs[name] for name in names}, "params": theirs["params"]}


def _keyed(optimizer: NovoGrad, own: StateDict) -> Iterator[tuple[int, Tensor]]:
    for group, saved in zip(optimizer.param_groups, own["param_groups"], strict=True):
        yield from zip(saved["params"], group["params"], strict=True)


def _refuse(condition: bool, what: str) -> None:
    if condition:
        raise ValueError(f"{what}: the other optimizer has no such thing, or this one has not")


def _refuse_options(group: Mapping[str, Any], **needed: Any) -> None:
    for name, value in needed.items():
        if group[name] != value:
            raise ValueError(f"{name} is {group[name]!r}: the other optimizer's is always {value!r}")


def _refuse_multipliers(group: Mapping[str, Any]) -> None:
    for name in SHARED_NAMES:
        if group.get(name) is not None and group[OPTION] != "ignore":
            raise ValueError(f"{name} is given: the other optimizer has no such option")


def _copy(value: Tensor, parameter: Tensor | None) -> Tensor:
    return value.detach().to(parameter.dtype if parameter is not None else torch.float32, copy=True)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Tensor) else value


def _vector(values: list[Tensor]) -> Tensor:
    return torch.stack(values).float() if values else torch.zeros(0, dtype=torch.float32, device="cpu")
