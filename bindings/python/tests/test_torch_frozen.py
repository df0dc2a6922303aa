"""Only parameters with a gradient are looked at: whatever else a model holds is left alone, as torch's optimizers do.

The right value is the same optimizer's over the trained parameters alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import MAKERS, each_optimizer

torch = torch_models.torch

KINDS: dict[str, Callable[[], Any]] = {
    "uint8": lambda: torch.ones(3, dtype=torch.uint8), "int64": lambda: torch.ones((), dtype=torch.int64),
    "bool": lambda: torch.ones(3, dtype=torch.bool), "float64": lambda: torch.ones(3, dtype=torch.float64),
    "complex": lambda: torch.ones(3, dtype=torch.complex64), "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "meta": lambda: torch.ones(3, device="meta"), "expanded": lambda: torch.ones(1).expand(4),
    "gaps": lambda: torch.ones(4, 4)[:, ::2], "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse rows": lambda: torch.eye(3).to_sparse_csr(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "empty": lambda: torch.ones(0, 3), "float32": lambda: torch.ones(3), "float16": lambda: torch.ones(3).half(),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def trained(*shape: int) -> Any:
    torch.manual_seed(sum(shape))
    return torch.nn.Parameter(torch.randn(shape))


def step(optimizer: Any, parameters: list[Any], value: float = 1.0) -> None:
    for each in parameters:
        each.grad = torch.full_like(each, value)
    optimizer.step()


def same(first: Any, second: Any) -> bool:
    """Whether two tensors of one kind hold the same."""
    if first.is_nested:
        return all(torch.equal(a, b) for a, b in zip(first.unbind(), second.unbind(), strict=True))
    dense = [each if each.layout is torch.strided else each.to_dense() for each in (first.detach(), second)]
    return first.layout is second.layout and first.dtype is second.dtype and torch.equal(*dense)


@each_kind
@each_optimizer
def test_a_frozen_parameter_of_any_kind_is_left_alone(make: Any, kind: str) -> None:
    frozen = torch.nn.Parameter(KINDS[kind](), requires_grad=False)
    beside, alone = [trained(6, 4), trained(4)], [trained(6, 4), trained(4)]
    optimizer, expected = make([beside[0], frozen, beside[1]]), make(alone)
    for number in range(3):
        step(optimizer, beside, number + 1.0)
        step(expected, alone, number + 1.0)
    assert all(torch.equal(a, b) for a, b in zip(beside, alone, strict=True))
    assert not optimizer.state.get(frozen)
    assert kind == "meta" or same(frozen, KINDS[kind]())


@each_kind
def test_what_can_be_asked_and_saved_stays_so_beside_a_frozen_parameter(kind: str) -> None:
    frozen = torch.nn.Parameter(KINDS[kind](), requires_grad=False)
    weight, bias = trained(6, 4), trained(4)
    optimizer = MAKERS["NovoGrad"]([("weight", weight), ("mask", frozen), ("bias", bias)], lr_mult=[1.0, 7.0, 0.5])
    step(optimizer, [weight, bias])
    assert list(optimizer.layer_stats()) == ["weight", "bias"]
    rates = {name: stats.effective_lr for name, stats in optimizer.layer_stats().items()}
    assert rates["bias"] == pytest.approx(0.5 * rates["weight"])
    assert optimizer.nonfinite_layers() == 0 and optimizer.flat_weights == []
    saved = optimizer.state_dict()
    assert set(saved["state"]) == {0, 2}
    other = MAKERS["NovoGrad"]([("weight", weight), ("mask", frozen), ("bias", bias)], lr_mult=[1.0, 7.0, 0.5])
    other.load_state_dict(copy.deepcopy(saved))
    assert int(other.state[bias]["step"]) == 1
    step(other, [weight, bias])


@each_kind
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", ["NovoGrad", "LARCSGD"])
def test_flatten_packs_what_can_be_packed_and_capturable_finds_its_device(name: str, place: int, kind: str) -> None:
    frozen = torch.nn.Parameter(KINDS[kind](), requires_grad=False)
    beside, alone = [trained(6, 4), trained(4)], [trained(6, 4), trained(4)]
    parameters: list[Any] = [*beside]
    parameters.insert(place, frozen)
    optimizer = MAKERS[name](parameters, flatten=True, capturable=True)
    expected = MAKERS[name](alone, flatten=True, capturable=True)
    assert optimizer.param_groups[0]["lr"].device == beside[0].device
    for _ in range(2):
        step(optimizer, beside)
        step(expected, alone)
    assert all(torch.equal(a, b) for a, b in zip(beside, alone, strict=True))
    storages = {flat.untyped_storage().data_ptr() for flat in optimizer.flat_weights}
    assert all(each.untyped_storage().data_ptr() in storages for each in beside)
    assert kind == "meta" or same(frozen, KINDS[kind]())


@each_optimizer
def test_a_group_of_frozen_parameters_and_one_without_gradients_are_left_alone(make: Any) -> None:
    weight, alone = trained(6, 4), trained(6, 4)
    waiting = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))  # trained in other steps than these
    optimizer = make([{"params": [torch.nn.Parameter(kind(), requires_grad=False) for kind in KINDS.values()]},
                      {"params": [waiting, weight]}])
    expected = make([alone])
    for _ in range(2):
        step(optimizer, [weight])
        step(expected, [alone])
    assert torch.equal(weight, alone)


@each_optimizer
def test_a_refusal_in_a_later_group_leaves_the_first_unwritten(make: Any) -> None:
    """The gradient makes it take part: then it is refused, before any group is stepped."""
    weight, wide = trained(6, 4), torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = make([{"params": [weight]}, {"params": [wide]}])
    with pytest.raises(TypeError, match="torch.float64: it must be float32"):
        step(optimizer, [weight, wide])
    assert torch.equal(weight, trained(6, 4)) and torch.equal(weight.grad, torch.ones(6, 4))


@each_optimizer
def test_modules_whose_parameters_have_no_shape_yet_can_be_given(make: Any) -> None:
    model = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.Linear(3, 2))
    optimizer = make(model.parameters())
    model(torch.ones(5, 4)).square().mean().backward()
    before = model[0].weight.detach().clone()
    optimizer.step()
    assert not torch.equal(model[0].weight, before)
