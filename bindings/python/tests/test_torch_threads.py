"""threads=0 is torch's own number of threads, as it is when a step runs; elsewhere what the process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

import layerwise

torch = torch_models.torch


@pytest.fixture(autouse=True)
def threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def parameter() -> Any:
    made = torch.nn.Parameter(torch.ones(5, 3))
    made.grad = torch.ones(5, 3)
    return made


def threads_of(optimizer: Any) -> int:
    [bucket] = {slot.bucket for _, slot in optimizer._assignment.slots()}
    return int(bucket._plan.threads)


@pytest.mark.parametrize("make", [lambda p, **o: NovoGrad(p, 0.1, lr_mult=0.5, **o), lambda p, **o: LARCSGD(p, 0.1, **o),
                                  lambda p, **o: LARC(torch.optim.SGD(p, 0.1), **o)])
def test_a_step_takes_as_many_threads_as_torch_has_then(make: Any) -> None:
    changing, steady = [parameter()], [parameter()]
    optimizer, other = make(changing), make(steady, threads=1)
    plans = []
    for threads in (2, 2, 3, 1, 2):
        torch.set_num_threads(threads)
        optimizer.step()
        other.step()
        assert (threads_of(optimizer), threads_of(other)) == (threads, 1)
        plans.append(optimizer._assignment.slots()[0][1].bucket._plan)
    assert plans[0] is plans[1] and plans[1] is not plans[2]
    assert torch.equal(changing[0], steady[0])


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("1,2", 1), ("100000", None), ("0", None), ("x", None)])
def test_a_plan_of_its_own_follows_omp_num_threads_downwards(text: str, limit: int | None) -> None:
    """The right value without a limit is the same process's without the variable."""
    def threads(**variables: str) -> int:
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        done = subprocess.run([sys.executable, "-c", "import layerwise; print(layerwise.Plan([3]).threads)"], text=True,
                              capture_output=True, timeout=60, check=True,
                              env={**environment, "PYTHONPATH": os.pathsep.join(sys.path), **variables})
        return int(done.stdout)

    assert threads(OMP_NUM_THREADS=text) == (limit or threads())
    assert layerwise.Plan([3], threads=2).threads == 2
