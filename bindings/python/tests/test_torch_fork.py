"""An optimizer that has stepped goes on in a forked process: launchers and data loaders fork.

The right value is the parent's own next step.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import Network, each_optimizer, train

torch = torch_models.torch
if not sys.platform.startswith("linux"):
    pytest.skip("processes are not forked here", allow_module_level=True)


def values(network: Any) -> list[Any]:
    return [p.detach().flatten().tolist() for p in network.parameters()]


def go_on(network: Any, optimizer: Any, queue: Any) -> None:
    train(network, optimizer, range(2, 4))
    queue.put(values(network))


@pytest.mark.parametrize("steps_before", [0, 2])
@each_optimizer
def test_an_optimizer_goes_on_in_a_forked_process(make: Any, steps_before: int) -> None:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(steps_before))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=go_on, args=(network, optimizer, queue))
    child.start()
    found = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    train(network, optimizer, range(2, 4))
    assert found == values(network)


class StepsInAWorker(torch.utils.data.Dataset[Any]):
    """A dataset that fine-tunes a copy of a model for each item, in the loader's worker."""

    def __init__(self, network: Any, optimizer: Any) -> None:
        self.network, self.optimizer = network, optimizer

    def __len__(self) -> int:
        return 2

    def __getitem__(self, item: int) -> Any:
        train(self.network, self.optimizer, range(1, 2))
        return torch.cat([p.detach().flatten() for p in self.network.parameters()])


@each_optimizer
def test_an_optimizer_goes_on_in_a_data_loaders_worker(make: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(1))
    data = StepsInAWorker(network, optimizer)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    found = list(loader)  # each worker has a copy of its own
    train(network, optimizer, range(1, 2))
    expected = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert all(torch.equal(each, expected) for each in found)


def test_a_child_that_imports_the_package_after_its_fork_steps() -> None:
    """The parent's OpenMP threads are gone in the child, and a parallel region there would wait for them for ever, as
    torch's own does: the plan must take threads of its own."""
    program = """
import os, signal, sys
import numpy as np, torch
torch.set_num_threads(2)
(torch.ones(4_000_000) * 2).sum()
child = os.fork()
if child == 0:
    signal.alarm(60)
    import layerwise
    size = 1 << 20
    arrays = [np.ones(size, np.float32) for _ in range(2)]
    with layerwise.Plan([size], threads=2) as plan:
        plan.novograd_step(*arrays, np.zeros(size, np.float32), np.zeros(1, np.float32), lr=0.1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-B", "-c", program], check=True, timeout=120)
