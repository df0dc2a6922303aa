"""What a CUDA plan would be handed, on a machine without CUDA: the calls that need a device are stood in for.

No kernel and no copy to a device runs here. Held are the tables of addresses, when they are copied, what a capture must
keep alive, the stream, and that scalars stay tensors.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, Network, NovoGrad, backward

from layerwise.torch import _bucket, _memory, _repetition

torch = torch_models.torch


class FakeDevice:
    """The state of a CUDA device that has none."""

    def __init__(self, monkeypatch: Any) -> None:
        self.capturing = False
        self.stream = 7
        self.pinned = 0
        self.events: list[str] = []
        self.copies = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        monkeypatch.setattr(torch.cuda, "synchronize", lambda _: self.events.append("wait"))
        monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: self.capturing)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: type("Stream", (), {"cuda_stream": self.stream}))
        for name in ("tensor", "empty", "empty_like"):
            monkeypatch.setattr(torch, name, self._unpinned(getattr(torch, name)))
        monkeypatch.setattr(_memory.CudaMemory, "_on_device", self._on_device)
        monkeypatch.setattr(_bucket, "memory_of", _memory.CudaMemory)
        monkeypatch.setattr(_bucket, "RepeatablePlan", lambda *_, **options: FakePlan(self, options))

    def _unpinned(self, function: Any) -> Any:
        def call(*arguments: Any, pin_memory: bool = False, **options: Any) -> Any:
            assert not (pin_memory and self.capturing), "page-locked memory cannot be had during a capture"
            self.pinned += pin_memory
            return function(*arguments, **options)
        return call

    def _on_device(self, source: Any) -> Any:
        self.copies += 1
        return list(source.clone().view(torch.uint64).unbind())


class FakePlan:
    """Notes what its steps are called with."""

    def __init__(self, device: FakeDevice, options: dict[str, Any]) -> None:
        self._device, self.options = device, options

    def set_layers(self, **_: Any) -> None:
        self._device.events.append("set_layers")
        assert not self._device.capturing, "a plan cannot be changed during a capture"

    def __getattr__(self, name: str) -> Any:
        def step(**arguments: Any) -> None:
            self._device.calls.append((name, {**arguments, "plan": self.options}))
            for vector in ("second_moment", "max_second_moment"):
                if arguments.get(vector) is not None:
                    arguments[vector].mul_(2).add_(1)
        return step


@pytest.fixture
def device(monkeypatch: Any) -> FakeDevice:
    return FakeDevice(monkeypatch)


def addresses(tensors: Any) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def test_a_step_gets_tables_of_addresses_tensors_for_scalars_and_the_current_stream(device: FakeDevice) -> None:
    network = Network()
    lr = torch.tensor(0.1)
    optimizer = NovoGrad(network.parameters(), lr, amsgrad=True, bias_correction=True)
    backward(network, 0)
    optimizer.step()
    device.calls.clear()
    network.hidden.bias.grad = None
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(0.0)
    optimizer.step()
    [(name, call)] = device.calls
    parameters = list(network.parameters())
    assert name == "novograd_step" and call["plan"]["layout"] == "scattered" and call["stream"] == 7
    missing = next(index for index, parameter in enumerate(parameters) if parameter is network.hidden.bias)
    for buffer, tensors in (("weights", parameters), ("grads", [p.grad for p in parameters]),
                            ("first_moment", [optimizer.state[p].get("first_moment") for p in parameters])):
        assert call[buffer].dtype == torch.uint64 and call[buffer].is_contiguous()
        assert call[buffer].tolist() == [0 if i == missing else tensor.data_ptr() for i, tensor in enumerate(tensors)]
    for scalar, value in (("lr", lr), ("grad_scale", optimizer.grad_scale), ("found_inf", optimizer.found_inf)):
        assert call[scalar].data_ptr() == value.data_ptr(), "it is not read by the host"
    state = optimizer.state[parameters[0]]
    assert call["step"].data_ptr() == state["step"].data_ptr()
    assert [int(optimizer.state[p]["step"]) for p in parameters] == [2 - (p is network.hidden.bias) for p in parameters]
    assert call["second_moment"].shape == (len(parameters),)
    assert call["max_second_moment"].shape == (len(parameters),)


def test_tables_are_copied_when_an_address_or_the_stream_changes_and_only_then(device: FakeDevice) -> None:
    network = Network()
    optimizer = LARCSGD(network.parameters(), 0.1)
    backward(network, 0)
    for _ in range(3):
        optimizer.step()
    assert device.copies == 1
    network.hidden.weight.grad = network.hidden.weight.grad.clone()
    optimizer.step()
    assert device.copies == 2
    device.stream = 9
    optimizer.step()
    assert device.copies == 3 and device.calls[-1][1]["stream"] == 9


def said(call: tuple[str, dict[str, Any]]) -> tuple[Any, ...]:
    """A call, arrays by what they hold: tables by their addresses, which the device reads."""
    name, arguments = call
    return name, {key: value.tolist() if key in ("weights", "grads", "first_moment", "momentum_buffer") else
                  value.data_ptr() if isinstance(value, torch.Tensor) else value for key, value in arguments.items()}


@pytest.mark.parametrize("make", [
    lambda params: NovoGrad(params, 0.1, amsgrad=True), lambda params: LARCSGD(params, 0.1),
    lambda params: LARC(torch.optim.SGD(params, 0.1))], ids=["NovoGrad", "LARCSGD", "LARC"])
def test_a_repeated_step_makes_the_call_of_one_that_looks_at_everything(
        device: FakeDevice, make: Any, road: str, monkeypatch: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    backward(network, 0)
    optimizer.step()
    network.hidden.bias.grad = None
    device.calls.clear()
    device.copies = 0
    taken, take = [], _repetition.Repetition.take
    monkeypatch.setattr(_repetition.Repetition, "take", lambda self, *rest: taken.append(1) or take(self, *rest))
    states = []
    for number in range(8):
        optimizer.param_groups[0]["lr"] = torch.tensor(0.5) if number > 5 else 0.1
        if number == 4:
            network.hidden.weight.grad = network.hidden.weight.grad.clone()
        optimizer.step()
        states.append({name: {float(optimizer.state[p][name]) for p in network.parameters()
                              if p.grad is not None and name in optimizer.state[p]}
                       for name in ("step", "second_moment", "max_second_moment")})
    assert len(taken) == 5, "all but the first two, and one whose lr is a tensor for the first time"
    calls = list(map(said, device.calls))
    for call in calls:
        call[1].pop("lr")
    assert calls[0] == calls[1] == calls[2] == calls[3] and device.copies == 2
    assert calls[4] == calls[5] == calls[6] == calls[7] != calls[0]
    assert calls[4][1]["grads"] == [0 if p.grad is None else p.grad.data_ptr() for p in network.parameters()]
    for number, state in enumerate(states):
        assert state["step"] <= {number + 2}
        assert state["second_moment"] | state["max_second_moment"] <= {2**(number + 2) - 1}


def test_a_capture_looks_at_everything(device: FakeDevice, road: str) -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.1)
    backward(network, 0)
    for _ in range(4):
        optimizer.step()
    device.capturing = True
    with pytest.raises(RuntimeError, match="lr is a number, which would be frozen"):
        optimizer.step()


def test_a_capture_copies_from_memory_that_was_set_aside_and_stays(device: FakeDevice) -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.1, capturable=True)
    backward(network, 0)
    optimizer.step()
    eager = device.calls[-1][1]["grads"].tolist()
    device.capturing, pinned = True, device.pinned
    optimizer.zero_grad()
    backward(network, 1)
    kept = [parameter.grad for parameter in network.parameters()]
    optimizer.step()
    device.capturing = False
    captured = device.calls[-1][1]["grads"]
    assert captured.tolist() == addresses(kept) and device.pinned == pinned
    [bucket] = {slot.bucket for _, slot in optimizer._assignment.slots()}
    [(source, _)] = bucket._memories[0]._captured
    optimizer.step()
    assert source[1].tolist() == addresses(kept), "a replay reads it again"
    assert device.calls[-1][1]["grads"].data_ptr() != captured.data_ptr(), "only a replay fills that one"
    assert eager != captured.tolist()


def test_a_capture_needs_a_step_before_it_and_a_learning_rate_on_the_device(device: FakeDevice) -> None:
    network = Network()
    backward(network, 0)
    optimizer = NovoGrad(network.parameters(), 0.1)
    optimizer.step()
    device.capturing = True
    with pytest.raises(RuntimeError, match="lr is a number, which would be frozen"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="run one step of this optimizer with the same gradients before the capture"):
        NovoGrad(network.parameters(), 0.1, capturable=True).step()


def test_multipliers_change_while_the_plan_is_at_rest(device: FakeDevice) -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.1, lr_mult=2.0)
    backward(network, 0)
    optimizer.step()
    optimizer.step()
    assert device.events == ["wait", "set_layers", "wait"]
    optimizer.param_groups[0]["lr_mult"] = 1.0
    optimizer.step()
    assert device.events[3:] == ["wait", "set_layers", "wait"]


def test_a_first_gradient_during_a_capture_is_refused(device: FakeDevice) -> None:
    """Each replay would zero the moment that the capture had made."""
    network = Network()
    optimizer = NovoGrad(network.parameters(), torch.tensor(0.1))
    backward(network, 0)
    grad, network.hidden.weight.grad = network.hidden.weight.grad, None
    optimizer.step()
    network.hidden.weight.grad = grad
    device.capturing = True
    with pytest.raises(RuntimeError, match="run one step of this optimizer with the same gradients before the capture"):
        optimizer.step()


def test_what_a_graph_was_captured_with_stays_where_it_is_when_groups_come_to_differ(device: FakeDevice) -> None:
    """Replays write there: the tables, the statistics."""
    network, lr = Network(), torch.tensor(0.1)
    optimizer = NovoGrad([{"params": [parameter]} for parameter in network.parameters()], lr)
    for group in optimizer.param_groups:
        group["lr"] = lr
    backward(network, 0)
    optimizer.step()
    device.capturing = True
    optimizer.step()
    device.capturing = False
    [captured] = {slot.bucket for _, slot in optimizer._assignment.slots()}
    optimizer.param_groups[3]["weight_decay"] = 0.5
    before = len(device.calls)
    optimizer.step()
    assert {slot.bucket for _, slot in optimizer._assignment.slots()} == {captured}
    tables = [call["weights"].tolist() for _, call in device.calls[before:]]
    assert [address for table in zip(*tables, strict=True) for address in table if address] == addresses(
        network.parameters()) and len(tables) == 2


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_numbers_of_steps_that_a_step_has_written_are_known_after_it(
        device: FakeDevice, monkeypatch: Any, compiled: bool) -> None:
    """Else each step would wait for the device to read them. Written from outside, they are read once."""
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.1, bias_correction=True)
    reads, stack = [], torch.stack

    def seen(tensors: Any, *arguments: Any, **options: Any) -> Any:
        if tensors[0].dtype is torch.int64:
            reads.append(len(tensors))
        return stack(tensors, *arguments, **options)

    monkeypatch.setattr(torch, "stack", seen)
    torch._dynamo.reset()
    step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
    for number in range(5):
        backward(network, 0)
        step()
        if number == 0:
            [bucket] = {slot.bucket for _, slot in optimizer._assignment.slots()}
            bucket._steps._reading_waits = True  # as on CUDA
            reads.clear()
    assert not reads
    optimizer.state[network.hidden.bias]["step"].add_(3)
    for _ in range(3):
        step()
    assert len(reads) == 1


def test_a_device_without_a_backend_is_refused() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3, device="meta"))
    parameter.grad = torch.zeros(3, device="meta")
    with pytest.raises(ValueError, match="lies on meta: layerwise has backends for cpu and cuda"):
        NovoGrad([parameter], 0.1).step()
