"""Options as they come from configuration files: taken as plain Python values, or refused by name at construction.

The rules are those of the docstrings; a value that is taken must give the bits of the plain number.
"""

from __future__ import annotations

import collections
import enum
import fractions
import inspect
import io
import math
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

torch = torch_models.torch

MAKERS: dict[str, Any] = {
    "NovoGrad": lambda p, **options: NovoGrad([p], **{"lr": 0.1, **options}),
    "LARCSGD": lambda p, **options: LARCSGD([p], **{"lr": 0.1, **options}),
    "LARC": lambda p, **options: LARC(torch.optim.SGD([p], 0.1), **options),
}
OPTIONS = [(kind, name) for kind, cls in (("NovoGrad", NovoGrad), ("LARCSGD", LARCSGD), ("LARC", LARC))
           for name in inspect.signature(cls).parameters if name not in ("params", "optimizer")]
MAY_BE_NONE = {"lr_mult", "wd_mult"}  # no multiplier
FOR_EACH = {*MAY_BE_NONE, "skip_larc"}  # one value for each parameter is taken too
FLAGS = {name for cls in (NovoGrad, LARCSGD, LARC) for name, option in inspect.signature(cls).parameters.items()
         if isinstance(option.default, bool)} - FOR_EACH
WRONG: list[Any] = ["1e-3", b"1", None, math.nan, math.inf, 10**400, 1j, {"a": 1}, {0.9, 0.98}, [[0.1]], object(),
                    np.array(["a"]), np.datetime64("2020")]


def parameter() -> Any:
    return torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))


def step(optimizer: Any, p: Any) -> Any:
    for scale in (1.0, 0.5):
        p.grad = torch.tensor([0.1, 0.2, -0.3]) * scale
        optimizer.step()
    return p.detach()


@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize(("kind", "name"), OPTIONS)
def test_a_value_that_is_none_of_an_options_is_refused_by_name_at_construction(
        kind: str, name: str, value: Any) -> None:
    if value is None and name in MAY_BE_NONE:
        return
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        MAKERS[kind](parameter(), **{name: value})
    if kind != "LARC" and name != "unscale_in_step":
        optimizer = MAKERS[kind](parameter())
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            optimizer.add_param_group({"params": [parameter()], name: value})
        assert len(optimizer.param_groups) == 1


def test_none_in_a_group_that_larc_wraps_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="skip_larc is None"):
        LARC(torch.optim.SGD([{"params": [parameter()], "skip_larc": None}], 0.1))


@pytest.mark.parametrize(("kind", "name"), OPTIONS)
def test_a_flag_is_true_or_false_and_a_number_is_neither(kind: str, name: str) -> None:
    if name in ("seed_second_moment", "decoupled_weight_decay", "fold_weight_decay"):  # flags that have more choices
        for value in ("False", 0.5, 2):
            with pytest.raises(ValueError, match=rf"{name} is .*: it must be True, False or one of 'off', "):
                MAKERS[kind](parameter(), **{name: value})
    elif name in FLAGS:
        for value in ("False", 0.5, 2):
            with pytest.raises(TypeError, match=rf"{name} is .*: it must be True or False"):
                MAKERS[kind](parameter(), **{name: value})
    elif name not in FOR_EACH:
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            MAKERS[kind](parameter(), **{name: True})


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.98, 1), "0.9,0.98", (0.9, "0.98"), {0.9: 1, 0.98: 2},
                                   [[1, 2], 3]], ids=str)
def test_betas_are_two_numbers(betas: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="betas"):
        NovoGrad([parameter()], 0.1, betas=betas)


class Name(str, enum.Enum):
    INF = "inf"


class Node(collections.UserList[float]):
    """A list of a configuration library: it knows the whole configuration."""

    def __init__(self, values: list[float]) -> None:
        super().__init__(values)
        self.parent = {"data": "s" * 5000}


GIVEN = [
    ("NovoGrad", {"lr": np.float64(0.05)}, {"lr": 0.05}), ("NovoGrad", {"lr": fractions.Fraction(1, 4)}, {"lr": 0.25}),
    ("NovoGrad", {"lr": np.int64(1), "eps": np.float32(0.5)}, {"lr": 1, "eps": 0.5}),
    ("NovoGrad", {"betas": Node([0.8, 0.5])}, {"betas": (0.8, 0.5)}),
    ("NovoGrad", {"betas": np.array([0.75, 0.5], np.float32)}, {"betas": (0.75, 0.5)}),
    ("NovoGrad", {"betas": torch.tensor([0.75, 0.5])}, {"betas": (0.75, 0.5)}),
    ("NovoGrad", {"norm": Name.INF}, {"norm": "inf"}), ("NovoGrad", {"norm": np.str_("inf")}, {"norm": "inf"}),
    ("NovoGrad", {"amsgrad": np.bool_(True), "grad_averaging": 1}, {"amsgrad": True, "grad_averaging": True}),
    ("NovoGrad", {"threads": np.int32(2), "weight_decay": torch.tensor(0.25)}, {"threads": 2, "weight_decay": 0.25}),
    ("NovoGrad", {"first_moment_dtype": torch.bfloat16}, {"first_moment_dtype": "bfloat16"}),
    ("NovoGrad", {"second_moment_dtype": np.float64}, {"second_moment_dtype": "float64"}),
    ("NovoGrad", {"lr_mult": Node([0.5]), "wd_mult": np.float32(2)}, {"lr_mult": 0.5, "wd_mult": 2.0}),
    ("LARCSGD", {"momentum": np.float32(0.5), "clip": np.bool_(False), "zero_norm": np.str_("floor")},
     {"momentum": 0.5, "clip": False, "zero_norm": "floor"}),
    ("LARC", {"trust_coefficient": np.float32(0.5), "clip": np.bool_(False), "threads": np.int64(1)},
     {"trust_coefficient": 0.5, "clip": False, "threads": 1}),
]


@pytest.mark.parametrize(("kind", "given", "plain"), GIVEN, ids=lambda value: str(value)[:40])
def test_values_of_other_types_become_plain_ones(kind: str, given: Any, plain: Any) -> None:
    first, second = parameter(), parameter()
    optimizer, other = MAKERS[kind](first, **given), MAKERS[kind](second, **plain)
    assert torch.equal(step(optimizer, first), step(other, second))
    file = io.BytesIO()
    torch.save({"state": optimizer.state_dict(), "options": getattr(optimizer, "options", None)}, file)
    assert file.tell() < 5000
    file.seek(0)
    torch.load(file, weights_only=True)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_scheduler_may_write_numpy_scalars(kind: str) -> None:
    first, second = parameter(), parameter()
    optimizer, other = MAKERS[kind](first), MAKERS[kind](second)
    optimizer.param_groups[0]["lr"], other.param_groups[0]["lr"] = np.float32(0.25), 0.25
    assert torch.equal(step(optimizer, first), step(other, second))


# Hazard: Python compares an int of any size with infinity, and the step fails when the calls before have been made.
def test_an_lr_that_no_float_can_hold_is_refused_before_anything_is_written() -> None:
    parameters = [parameter(), parameter()]
    optimizer = NovoGrad([{"params": [each], "weight_decay": 0.1 * place} for place, each in enumerate(parameters)], 0.1)
    for _ in range(4):
        for each in parameters:
            each.grad = torch.ones(3)
        optimizer.step()
    before = [each.detach().clone() for each in parameters]
    optimizer.param_groups[1]["lr"] = 10**400
    with pytest.raises(TypeError, match="lr is 1000"):
        optimizer.step()
    assert all(map(torch.equal, before, parameters))


# Hazard: tensors in a tuple equal the numbers that are there, and would be kept in their place.
def test_tensors_in_a_tuple_become_numbers() -> None:
    p = parameter()
    optimizer = NovoGrad([p], 0.1)
    step(optimizer, p)
    optimizer.param_groups[0]["betas"] = tuple(map(torch.tensor, optimizer.param_groups[0]["betas"]))
    step(optimizer, p)
    assert [type(beta) for beta in optimizer.param_groups[0]["betas"]] == [float, float]


@pytest.mark.parametrize("lr", [torch.ones(2), torch.tensor(1), torch.tensor(1j), torch.tensor(math.nan),
                                torch.tensor(True), torch.tensor(0.1, device="meta")], ids=str)
@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD"])
def test_a_tensor_learning_rate_is_one_finite_number(kind: str, lr: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"\blr is "):
        MAKERS[kind](parameter(), lr=lr)


def test_larc_names_the_learning_rate_that_its_inner_optimizer_lacks() -> None:
    inner = torch.optim.SGD([parameter()], 0.1)
    for lr in (None, "0.1"):
        inner.param_groups[0]["lr"] = lr
        with pytest.raises(TypeError, match=rf"lr is {lr!r}: it must be a number"):
            LARC(inner)


@pytest.mark.parametrize("make", [NovoGrad, LARCSGD])
def test_the_learning_rate_may_stand_in_the_groups_alone(make: Any) -> None:
    """As torch's own optimizers allow, and engines build them. Right is an optimizer for each."""
    together, apart = ([torch.nn.Parameter(torch.ones(3)) for _ in range(2)] for _ in range(2))
    optimizers = [make([{"params": [p], "lr": lr} for p, lr in zip(together, (0.1, 0.01), strict=True)])]
    optimizers += [make([p], lr) for p, lr in zip(apart, (0.1, 0.01), strict=True)]
    for parameter in (*together, *apart):
        parameter.grad = torch.ones(3)
    for optimizer in optimizers:
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(together, apart, strict=True))
    with pytest.raises(TypeError, match="lr is None: it must be a number, given to the optimizer or to every group"):
        make([{"params": [together[0]], "lr": 0.1}, {"params": [together[1]]}])


@pytest.mark.parametrize("make", [NovoGrad, LARCSGD])
def test_a_trainer_that_passes_no_rate_is_told_how_it_takes_one(make: Any) -> None:
    """Transformers' Trainer makes cls(groups, **kwargs) of optimizer_cls_and_kwargs=(cls, kwargs): its own
    learning_rate goes to the optimizers that it knows by name, and to no other."""
    groups = [{"params": [parameter()], "weight_decay": 0.01}, {"params": [parameter()], "weight_decay": 0.0}]
    with pytest.raises(TypeError, match=r'Trainer.*optimizer_cls_and_kwargs=\(NovoGrad, \{"lr": 0\.01\}\)'):
        make(groups)
    assert make([{"params": [parameter()]}], **{"lr": 0.01}).param_groups[0]["lr"] == 0.01
