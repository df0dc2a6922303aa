"""layerwise.torch's optimizers as torch.optim.Optimizer: what training loops rely on.

Where bits are compared, the expectation is the same optimizer's result of the same computation said another way.
"""

from __future__ import annotations

import copy
import functools
import gc
import io
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, MAKERS, Network, NovoGrad, backward, each_optimizer, same_bits, train, twins

torch = torch_models.torch


@each_optimizer
def test_it_is_an_optimizer_and_reduces_the_loss(make: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    assert isinstance(optimizer, torch.optim.Optimizer)
    before = float(backward(network, 0))
    train(network, optimizer, range(1))
    for _ in range(10):
        train(network, optimizer, range(1))
    assert float(backward(network, 0)) < before


@each_optimizer
def test_a_run_that_is_saved_and_resumed_gives_the_bits_of_an_uninterrupted_one(make: Any) -> None:
    whole, optimizer, resumed, first_half = twins(make)
    train(whole, optimizer, range(100))
    train(resumed, first_half, range(50))
    file = io.BytesIO()
    torch.save({"network": resumed.state_dict(), "optimizer": first_half.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = Network(seed=1)
    fresh.load_state_dict(saved["network"])
    second_half = make(fresh.parameters(), lr=7.0)
    second_half.load_state_dict(saved["optimizer"])
    train(fresh, second_half, range(50, 100))
    assert same_bits(fresh, whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("optimizer_type", [NovoGrad, LARCSGD])
def test_state_of_low_precision_parameters_stays_float32_through_a_checkpoint(optimizer_type: Any, dtype: Any) -> None:
    """torch's own loader casts state to the parameter's dtype."""
    whole, resumed = Network().to(dtype), Network().to(dtype)
    optimizer, first_half = optimizer_type(whole.parameters(), 0.05), optimizer_type(resumed.parameters(), 0.05)
    train(whole, optimizer, range(12))
    train(resumed, first_half, range(6))
    second_half = optimizer_type(resumed.parameters(), 0.05)
    second_half.load_state_dict(copy.deepcopy(first_half.state_dict()))
    for state in second_half.state.values():
        assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    train(resumed, second_half, range(6, 12))
    assert same_bits(whole, resumed)


@each_optimizer
def test_a_loaded_state_is_a_copy(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    train(first, optimizer, range(2))
    if not isinstance(other, LARC):  # there it is the inner optimizer's own business
        other.load_state_dict(optimizer.state_dict())
        before = copy.deepcopy(optimizer.state_dict()["state"])
        train(second, other, range(2))
        after = optimizer.state_dict()["state"]
        assert all(torch.equal(before[key][name], after[key][name]) for key in before for name in before[key])


@each_optimizer
def test_loading_into_an_optimizer_that_has_stepped_restores_it(make: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(3))
    saved = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    train(network, optimizer, range(3, 6))
    once = copy.deepcopy(network)
    network.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    train(network, optimizer, range(3, 6))
    assert same_bits(network, once)


def test_a_load_writes_in_place_so_that_a_captured_step_sees_it() -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), torch.tensor(0.01))
    train(network, optimizer, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["lr"] = 0.5
    places = [value.data_ptr() for state in optimizer.state.values() for value in state.values()]
    lr = optimizer.param_groups[0]["lr"]
    train(network, optimizer, range(2, 4))
    optimizer.load_state_dict(saved)
    train(network, optimizer, range(4, 5))
    assert [value.data_ptr() for state in optimizer.state.values() for value in state.values()] == places
    assert optimizer.param_groups[0]["lr"] is lr and lr == 0.5
    assert all(state["step"] == 3 for state in optimizer.state.values())


@each_optimizer
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))],
                         ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_by_itself(make: Any, copied: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(3))
    other_network, other = copied((network, optimizer))
    train(other_network, other, range(3, 6))
    assert not same_bits(network, other_network)
    train(network, optimizer, range(3, 6))
    assert same_bits(network, other_network)


@each_optimizer
def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned(make: Any) -> None:
    first, optimizer, second, other = twins(make)

    def closure() -> Any:
        other.zero_grad()
        return backward(second, 0)

    optimizer.zero_grad()
    loss = backward(first, 0)
    assert optimizer.step() is None
    assert torch.equal(other.step(closure), loss)
    assert same_bits(first, second)


def test_larc_serves_an_optimizer_that_needs_a_closure() -> None:
    network = Network()
    optimizer = LARC(torch.optim.LBFGS(network.parameters(), lr=0.1, max_iter=5))

    def closure() -> Any:
        optimizer.zero_grad()
        return backward(network, 0)

    first, last = (float(optimizer.step(closure)) for _ in range(2))
    assert last < first


@each_optimizer
def test_zero_grad_both_ways_and_accumulated_gradients(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    for step in range(3):
        optimizer.zero_grad(set_to_none=True)
        other.zero_grad(set_to_none=False)
        for micro in (2 * step, 2 * step + 1):
            backward(first, micro, 0.5)
            backward(second, micro, 0.5)
        optimizer.step()
        other.step()
    assert same_bits(first, second)


@each_optimizer
def test_a_scheduler_drives_the_learning_rate(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    lr = optimizer.param_groups[0]["lr"]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for step in range(4):
        other.param_groups[0]["lr"] = lr * 0.5**step
        train(first, optimizer, range(step, step + 1))
        train(second, other, range(step, step + 1))
        scheduler.step()
    assert scheduler.get_last_lr() == [lr * 0.5**4]
    assert same_bits(first, second)


@each_optimizer
def test_schedulers_that_look_further_into_an_optimizer_work_too(make: Any) -> None:
    """OneCycleLR also moves momentum, or beta1; ReduceLROnPlateau and SequentialLR keep more of the optimizer."""
    network = Network()
    optimizer = make(network.parameters())
    seen = set()
    schedulers = torch.optim.lr_scheduler
    cycle = schedulers.OneCycleLR(optimizer, max_lr=0.01, total_steps=4)
    for step in range(3):
        group = optimizer.param_groups[0]
        seen.add((group["lr"], group.get("momentum", group.get("betas"))))
        train(network, optimizer, range(step, step + 1))
        cycle.step()
    assert len({lr for lr, _ in seen}) == 3 and len({momentum for _, momentum in seen}) > 1
    plateau = schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    lr = optimizer.param_groups[0]["lr"]
    for loss in (1.0, 2.0):
        plateau.step(loss)
    assert optimizer.param_groups[0]["lr"] == lr / 2


@each_optimizer
def test_a_tensor_learning_rate_gives_the_bits_of_a_number_and_follows_a_scheduler_in_place(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    lr = torch.tensor(other.param_groups[0]["lr"])
    other.param_groups[0]["lr"] = lr
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(each, 0.5) for each in (optimizer, other)]
    for step in range(4):
        train(first, optimizer, range(step, step + 1))
        train(second, other, range(step, step + 1))
        for scheduler in schedulers:
            scheduler.step()
    assert other.param_groups[0]["lr"] is lr
    assert same_bits(first, second)


def test_capturable_keeps_the_learning_rate_in_a_tensor() -> None:
    optimizer = NovoGrad(Network().parameters(), 0.25, capturable=True)
    lr = optimizer.param_groups[0]["lr"]
    assert lr.dtype == torch.float32 and lr == 0.25
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr and lr == 0.125


@each_optimizer
def test_hooks_are_called(make: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    optimizer.register_state_dict_post_hook(lambda *_: calls.append("saved"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("loading"))
    optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("loaded"))
    train(network, optimizer, range(1))
    optimizer.load_state_dict(optimizer.state_dict())
    assert calls == ["before", "after", "saved", "loading", "loaded"]


@each_optimizer
def test_groups_have_options_of_their_own_and_can_be_added(make: Any) -> None:
    network, twin = Network(), Network()
    optimizer = make([{"params": network.output.parameters(), "lr": 0.0}, {"params": network.hidden.parameters()}])
    optimizer.add_param_group({"params": list(network.convolution.parameters())})
    train(network, optimizer, range(3))
    moved = {name: not torch.equal(a, b) for (name, a), b in zip(network.named_parameters(), twin.parameters(),
                                                                strict=True)}
    assert moved == {name: name.split(".")[0] in ("hidden", "convolution") for name in moved}
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [network.output.bias]})


# ---- Mixed precision -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_step", [False, True], ids=["before the step", "in the step"])
@each_optimizer
def test_gradscaler_unscales_skips_and_goes_on(make: Any, in_step: bool) -> None:
    """Powers of two scale without rounding, so the scaled run has the bits of the unscaled one."""
    network, twin = Network(), Network()
    if in_step and make not in (MAKERS["NovoGrad"], MAKERS["LARCSGD"]):
        make = lambda params: LARC(NovoGrad(params, 0.01, unscale_in_step=in_step))  # noqa: E731
    elif in_step:
        make = functools.partial(make, unscale_in_step=True)
    optimizer, other = make(network.parameters()), make(twin.parameters())
    assert bool(getattr(optimizer, "_step_supports_amp_scaling", False)) == in_step
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(4):
        optimizer.zero_grad()
        scaler.scale(torch.ones(()))  # makes the scale's tensor
        backward(network, step, scaler.get_scale())
        if step == 2:  # a bad batch: the step changes nothing
            network.hidden.weight.grad[0, 0] = float("inf")
        else:
            train(twin, other, range(step, step + 1))
        scaler.step(optimizer)
        scaler.update()
        assert same_bits(network, twin), step
    assert not hasattr(optimizer, "found_inf") and scaler.get_scale() == 512.0
    if not isinstance(optimizer, LARC):
        assert all(state["step"] == 3 for state in optimizer.state.values())


@pytest.mark.parametrize("in_step", [False, True])
def test_gradscaler_after_an_explicit_unscale_does_not_unscale_twice(in_step: bool) -> None:
    network, twin = Network(), Network()
    optimizer = NovoGrad(network.parameters(), 0.01, unscale_in_step=in_step)
    other = NovoGrad(twin.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    scaler.scale(torch.ones(()))  # makes the scale's tensor
    backward(network, 0, 256.0)
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    train(twin, other, range(1))
    assert same_bits(network, twin)


def test_layers_with_gradients_that_are_not_finite_are_skipped_and_counted() -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.01)
    backward(network, 0)
    network.hidden.weight.grad[0, 0] = float("nan")
    before = copy.deepcopy(network)
    optimizer.step()
    assert optimizer.nonfinite_layers() == 1
    assert torch.equal(network.hidden.weight, before.hidden.weight)
    assert not torch.equal(network.hidden.bias, before.hidden.bias)


# ---- What an optimizer keeps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"first_moment_dtype": "bfloat16"}, {"second_moment_dtype": torch.float64},
                                     {"amsgrad": True}, {"grad_averaging": True, "average_first_step": False}])
def test_state_of_every_kind_resumes_to_the_same_bits(options: Any) -> None:
    whole, resumed = Network(), Network()
    train(whole, NovoGrad(whole.parameters(), 0.01, **options), range(8))
    first_half = NovoGrad(resumed.parameters(), 0.01, **options)
    train(resumed, first_half, range(4))
    file = io.BytesIO()
    torch.save(first_half.state_dict(), file)
    file.seek(0)
    second_half = NovoGrad(resumed.parameters(), 0.5, **options)
    second_half.load_state_dict(torch.load(file, weights_only=True))
    train(resumed, second_half, range(4, 8))
    assert same_bits(whole, resumed)


def test_larcsgd_goes_on_from_a_checkpoint_of_torchs_sgd() -> None:
    network, twin = Network(), Network()
    theirs = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    train(twin, theirs, range(3))
    network.load_state_dict(twin.state_dict())
    ours = LARCSGD(network.parameters(), 1.0, skip_larc=True)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert ours.param_groups[0]["lr"] == 0.05
    train(network, ours, range(3, 6))
    train(twin, theirs, range(3, 6))
    for a, b in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_deleted_optimizer_frees_its_plans_without_the_garbage_collector() -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.01)
    train(network, optimizer, range(1))
    [bucket] = {slot.bucket for _, slot in optimizer._assignment.slots()}
    ghost, finalizer = weakref.ref(bucket), bucket._plan._finalizer
    gc.disable()
    try:
        del optimizer, bucket
        assert ghost() is None and not finalizer.alive
    finally:
        gc.enable()


def test_the_readmes_example_runs_as_it_stands() -> None:
    """By hand: NovoGrad's first step moves a layer by lr * |g/|g| + 0.001 w|, so by lr to within a thousandth of w."""
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text().split("## PyTorch")[1]
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(text.split("```python\n")[1].split("```")[0], names)
    torch.manual_seed(0)
    start = torch.nn.Linear(10, 2)
    for moved, before in zip(names["model"].parameters(), start.parameters(), strict=True):
        assert float((moved - before).detach().norm()) == pytest.approx(0.01, rel=1e-2)
