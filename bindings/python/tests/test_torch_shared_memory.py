"""State in shared memory, of processes that train one model together (Hogwild, A3C's shared optimizers).

Right is what one process alone computes, in the same order: the same bits.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

torch = torch_models.torch

MAKERS: dict[str, Any] = {
    "NovoGrad": lambda p, **options: NovoGrad([p], 0.1, bias_correction=True, amsgrad=True, threads=1, **options),
    "LARCSGD": lambda p, **options: LARCSGD([p], 0.1, dampening=0.5, threads=1, **options),
    "LARC around SGD": lambda p, **_: LARC(torch.optim.SGD([p], 0.1, momentum=0.9), threads=1),
    "LARC around NovoGrad": lambda p, **options: LARC(NovoGrad([p], 0.1, threads=1, **options), threads=1),
}
each_kind = pytest.mark.parametrize("kind", MAKERS)


def parameter() -> Any:
    return torch.nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))


def train(optimizer: Any, p: Any, numbers: range) -> None:
    for number in numbers:
        p.grad = torch.tensor([[0.1, 0.2], [-0.3, 0.4]]) * number
        optimizer.step()


def train_elsewhere(optimizer: Any, p: Any, numbers: range) -> None:
    """In a process of its own, which gets the memory of parameter and state."""
    torch.set_num_threads(1)
    assert p.is_shared() and optimizer.param_groups[0]["params"][0].data_ptr() == p.data_ptr()
    train(optimizer, optimizer.param_groups[0]["params"][0], numbers)


def shared(kind: str, **options: Any) -> tuple[Any, Any]:
    """A parameter and its optimizer after one step, both in shared memory."""
    p = parameter()
    p.data.share_memory_()
    optimizer = MAKERS[kind](p, **options)
    train(optimizer, p, range(1, 2))
    for value in optimizer.state[p].values():
        if isinstance(value, torch.Tensor):
            value.share_memory_()
    return p, optimizer


def places(optimizer: Any, p: Any) -> dict[str, tuple[int, bool]]:
    return {name: (value.data_ptr(), value.is_shared()) for name, value in optimizer.state[p].items()
            if isinstance(value, torch.Tensor)}


@each_kind
def test_steps_and_loads_write_into_shared_memory(kind: str) -> None:
    p, optimizer = shared(kind)
    before = places(optimizer, p)
    assert all(is_shared for _, is_shared in before.values())
    saved, weights = copy.deepcopy(optimizer.state_dict()), p.detach().clone()
    train(optimizer, p, range(2, 4))
    assert places(optimizer, p) == before
    once = p.detach().clone()
    if "SGD" in kind and kind != "LARCSGD":
        return  # torch's own loader gives it the tensors of the checkpoint
    optimizer.load_state_dict(saved)
    assert places(optimizer, p) == before
    with torch.no_grad():
        p.copy_(weights)
    train(optimizer, p, range(2, 4))
    assert torch.equal(p, once)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.load_state_dict({**saved, "state": {}})  # a first step again
    assert places(optimizer, p) == before and not any(map(torch.count_nonzero, optimizer.state[p].values()))


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD"])
def test_another_process_steps_the_same_state(kind: str) -> None:
    for options in ({}, {"flatten": True}):
        p, optimizer = shared(kind, **options)
        before = places(optimizer, p)
        context = torch.multiprocessing.get_context("spawn")
        worker = context.Process(target=train_elsewhere, args=(optimizer, p, range(2, 4)))
        worker.start()
        worker.join(120)
        assert worker.exitcode == 0
        alone = parameter()
        reference = MAKERS[kind](alone)
        train(reference, alone, range(1, 4))
        assert torch.equal(p, alone) and places(optimizer, p) == before
        for name, value in reference.state[alone].items():
            assert torch.equal(optimizer.state[p][name], value), name
        for each, its in ((optimizer, p), (reference, alone)):  # here the other's steps have been made
            train(each, its, range(4, 6))
        assert torch.equal(p, alone)


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD"])
def test_scalars_of_one_element_are_written_where_they_are(kind: str) -> None:
    """As A3C's code makes them: torch.zeros(1).share_memory_()."""
    p = parameter()
    optimizer = MAKERS[kind](p)
    optimizer.init_state()
    state = optimizer.state[p]
    memory = {name: value.reshape(1) if value.dim() == 0 else value for name, value in state.items()}
    for name, value in memory.items():
        state[name] = value.share_memory_()
    train(optimizer, p, range(1, 3))
    for name, value in memory.items():
        assert state[name].data_ptr() == value.data_ptr() and state[name].is_shared() and bool(value.any()), name
    assert memory["step"].tolist() == [2]


@pytest.mark.parametrize(("kind", "entry", "make"), [
    ("NovoGrad", "step", lambda: torch.zeros(1)), ("LARCSGD", "step", lambda: torch.tensor(1.0)),
    ("NovoGrad", "second_moment", lambda: torch.ones((), dtype=torch.float64)),
    ("NovoGrad", "first_moment", lambda: torch.ones(2, 2, dtype=torch.float16)),
    ("LARCSGD", "momentum_buffer", lambda: torch.ones(2, 2).t())])
def test_what_no_step_could_write_in_place_is_refused(kind: str, entry: str, make: Any) -> None:
    """A copy would be seen by this process alone."""
    p = parameter()
    optimizer = MAKERS[kind](p)
    train(optimizer, p, range(1, 2))
    weights = p.detach().clone()
    optimizer.state[p][entry] = make()
    optimizer.state[p][entry].share_memory_()
    with pytest.raises(TypeError, match=rf"{entry} of param_groups\[0\]\['params'\]\[0\] .*shared memory"):
        train(optimizer, p, range(2, 3))
    assert torch.equal(p, weights)


def test_flattening_leaves_what_is_shared_where_it_is() -> None:
    p, q = parameter(), torch.nn.Parameter(torch.ones(3))
    p.data.share_memory_()
    address = p.data_ptr()
    optimizer = NovoGrad([p, q], 0.1, flatten=True)
    assert p.data_ptr() == address and p.is_shared()
    optimizer = copy.deepcopy(optimizer)
    first, second = (each.untyped_storage().data_ptr() for each in optimizer.param_groups[0]["params"])
    assert first == second  # copies are this process's own
