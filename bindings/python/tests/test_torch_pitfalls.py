"""What users of other optimizers were hurt by, and what must be refused in plain words."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, MAKERS, Network, NovoGrad, backward, each_optimizer, same_bits, train, twins

import layerwise

torch = torch_models.torch

each_wrapped_or_not = pytest.mark.parametrize("make", [MAKERS["NovoGrad"], MAKERS["LARC"]], ids=["NovoGrad", "LARC"])


def parameter(*shape: int, **options: Any) -> Any:
    torch.manual_seed(0)
    return torch.nn.Parameter(torch.randn(shape, **options))


def with_gradient(tensor: Any, grad: Any = None) -> Any:
    tensor.grad = torch.ones_like(tensor) if grad is None else grad
    return tensor


# ---- Parameters that come, go and change -----------------------------------------------------------------------------


# Hazard: torch 2.4 stops in torch's own code, with words about schemas. Its own: 2.6 is the first with named_parameters.
def test_an_older_torch_is_refused_by_its_version() -> None:
    code = "import torch; torch.__version__ = type(torch.__version__)('2.5.1+cpu'); import layerwise.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: layerwise.torch needs PyTorch 2.6 or newer: this is 2.5.1+cpu" in done.stderr


@each_optimizer
def test_an_optimizer_may_be_made_before_the_model_changes_its_dtype(make: Any) -> None:
    early, late = Network(), Network().to(torch.bfloat16)
    optimizer = make(early.parameters())
    early.to(torch.bfloat16)
    train(early, optimizer, range(3))
    train(late, make(late.parameters()), range(3))
    assert same_bits(early, late)


@each_optimizer
def test_gradients_of_none_on_some_steps_leave_their_parameters_and_their_state_alone(make: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(2))
    before, state = copy.deepcopy(network), copy.deepcopy(optimizer.state[network.hidden.weight])
    optimizer.zero_grad()
    backward(network, 2)
    network.hidden.weight.grad = None
    optimizer.step()
    assert torch.equal(network.hidden.weight, before.hidden.weight)
    assert not torch.equal(network.hidden.bias, before.hidden.bias)
    for name, value in state.items():
        if name != "step":
            assert torch.equal(optimizer.state[network.hidden.weight][name], value), name
    optimizer.zero_grad()
    optimizer.step()  # no gradients at all


@each_optimizer
def test_a_parameter_that_is_unfrozen_later_begins_as_one_that_was_just_added(make: Any) -> None:
    """With bias correction its own first step is t = 1, as in torch.optim.Adam."""
    together, apart = Network(), Network()
    first = make(together.parameters())
    second = make([{"params": [p for p in apart.parameters() if p is not apart.output.weight]},
                   {"params": [apart.output.weight]}])
    for network, optimizer in ((together, first), (apart, second)):
        network.output.weight.requires_grad_(False)
        train(network, optimizer, range(4))
        network.output.weight.requires_grad_(True)
        train(network, optimizer, range(4, 8))
    assert same_bits(together, apart)


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD"])
def test_gradients_of_another_dtype_than_their_parameter_are_taken_as_they_are(kind: str) -> None:
    """The gradients are exact in bfloat16, so the bits are those of float32 gradients."""
    if not hasattr(torch.Tensor, "grad_dtype"):
        pytest.skip("this version of torch has no gradients of another dtype than their parameter")
    first, second = [parameter(8), parameter(8)], [parameter(8), parameter(8)]
    optimizers = [MAKERS[kind](first), MAKERS[kind](second)]
    second[1].grad_dtype = torch.bfloat16
    for step in range(3):
        for layer in range(2):
            first[layer].grad = torch.arange(1.0, 9.0) * (step + 1)
            second[layer].grad = first[layer].grad.to(torch.bfloat16 if layer else torch.float32)
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert optimizers[1].state[second[1]]["step"] == 3


@each_optimizer
def test_storage_that_was_swapped_is_followed(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    train(first, optimizer, range(2))
    train(second, other, range(2))
    old = first.hidden.weight.data
    first.hidden.weight.data = old.clone()
    kept = old.clone()
    train(first, optimizer, range(2, 4))
    train(second, other, range(2, 4))
    assert same_bits(first, second)
    assert torch.equal(old, kept)


def test_a_parameter_object_that_was_replaced_is_refused() -> None:
    network = Network()
    optimizer = MAKERS["NovoGrad"](network.parameters())
    train(network, optimizer, range(1))
    network.output.bias = torch.nn.Parameter(torch.zeros(5))
    with pytest.raises(ValueError, match=r"output\.bias of the model is not in this optimizer"):
        optimizer.check_covers(network)
    optimizer.param_groups[0]["params"][-1] = network.output.bias
    with pytest.raises(ValueError, match="no longer in param_groups: it was replaced"):
        train(network, optimizer, range(1))


def test_a_parameter_whose_shape_or_dtype_changed_is_refused() -> None:
    for change, text in ((lambda p: p.data[:3].clone(), r"had shape \(5,\).*has \(3,\) now"),
                         (lambda p: p.data.double().half(), "was torch.float32.*is torch.float16 now")):
        network = Network()
        optimizer = MAKERS["NovoGrad"](network.named_parameters())
        train(network, optimizer, range(1))
        bias = network.output.bias
        bias.grad = None
        bias.data = change(bias)
        bias.grad = torch.zeros_like(bias)
        with pytest.raises(ValueError, match=rf"output\.bias {text}"):
            optimizer.step()


def test_larc_keeps_nothing_of_a_parameter_so_another_may_take_its_place() -> None:
    """The right value is that of a wrapper made after the change. The inner optimizer has no state either."""
    for change in (lambda p: torch.nn.Parameter(torch.ones(5)), lambda p: torch.nn.Parameter(torch.ones(3)),
                   lambda p: torch.nn.Parameter(torch.ones(5).half())):
        results = []
        for early in (True, False):
            network = Network()
            inner = torch.optim.SGD(network.parameters(), 0.1)
            optimizer = LARC(inner)
            train(network, optimizer, range(1))
            changed = change(network.output.bias)
            inner.param_groups[0]["params"][-1] = with_gradient(changed)
            (optimizer if early else LARC(inner)).step()
            results.append(changed.detach())
        assert torch.equal(*results)
        assert not torch.equal(results[0], change(None).detach())


def test_a_group_may_be_taken_away() -> None:
    network = Network()
    optimizer = NovoGrad([{"params": network.output.parameters()}, {"params": network.convolution.parameters()}], 0.01)
    train(network, optimizer, range(2))
    optimizer.param_groups.pop(0)
    before = copy.deepcopy(network)
    train(network, optimizer, range(2, 4))
    network.to(memory_format=torch.channels_last)  # places are given anew, with other group numbers than before
    train(network, optimizer, range(4, 6))
    assert torch.equal(network.output.weight, before.output.weight)
    assert optimizer.state[network.convolution.weight]["step"] == 6


def test_shared_parameters_are_updated_once() -> None:
    once, twice = parameter(4), parameter(4)
    with_gradient(once)
    with_gradient(twice)
    NovoGrad([once], 0.1).step()
    NovoGrad([twice, twice], 0.1).step()
    assert torch.equal(once, twice)


def test_one_memory_in_two_parameters_is_refused() -> None:
    first = with_gradient(parameter(4))
    second = with_gradient(torch.nn.Parameter(first.data))
    with pytest.raises(ValueError, match="layers 0 and 1 are the same memory in two parameters"):
        NovoGrad([first, second], 0.1).step()


# ---- Memory order ----------------------------------------------------------------------------------------------------


@each_optimizer
def test_channels_last_parameters_train_as_contiguous_ones_and_stay_so(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    second.to(memory_format=torch.channels_last)
    train(first, optimizer, range(4))
    train(second, other, range(4))
    assert second.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in other.state[second.convolution.weight].items():
        if value.dim() == 4:
            assert value.stride() == second.convolution.weight.stride(), name
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@each_optimizer
def test_a_gradient_in_another_order_than_its_parameter_is_matched(make: Any) -> None:
    first, second = parameter(4, 3, 2, 5), parameter(4, 3, 2, 5)
    grad = torch.randn(4, 3, 2, 5)
    with_gradient(first, grad.clone())
    with_gradient(second, grad.to(memory_format=torch.channels_last))
    optimizers = [make([first]), make([second])]
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(first, second)
    assert torch.equal(first.grad, second.grad), "LARC scales the gradient itself, not a copy of it"


@each_optimizer
def test_a_checkpoint_of_contiguous_parameters_loads_into_channels_last_ones(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    train(first, optimizer, range(3))
    second.load_state_dict(first.state_dict())
    second.to(memory_format=torch.channels_last)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(first, optimizer, range(3, 5))
    train(second, other, range(3, 5))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_parameters_without_elements_and_of_one_element_are_fine() -> None:
    nothing, scalar = with_gradient(parameter(0)), with_gradient(parameter())
    before = float(scalar.detach())
    optimizer = NovoGrad([nothing, scalar], 0.1)
    optimizer.step()
    assert float(scalar.detach()) < before and not optimizer.nonfinite_layers()


# ---- flatten ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD"])
def test_flattened_parameters_train_to_the_same_bits(kind: str, set_to_none: bool) -> None:
    first, optimizer, _, _ = twins(MAKERS[kind])
    second = Network().to(memory_format=torch.channels_last)
    first.to(memory_format=torch.channels_last)
    other = MAKERS[kind](second.parameters(), flatten=True)
    for step in range(4):
        for network, each in ((first, optimizer), (second, other)):
            each.zero_grad(set_to_none=set_to_none)
            backward(network, step)
            each.step()
    assert same_bits(first, second)
    [flat] = other.flat_weights
    begin, end = flat.data_ptr(), flat.data_ptr() + 4 * flat.numel()
    assert all(begin <= p.data_ptr() < end and p.data_ptr() % 64 == begin % 64 for p in second.parameters())
    assert second.convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_flatten_makes_one_buffer_for_each_dtype_and_survives_a_copy() -> None:
    network = Network()
    network.hidden.bfloat16()
    optimizer = NovoGrad(network.parameters(), 0.01, flatten=True)
    assert sorted(str(flat.dtype) for flat in optimizer.flat_weights) == ["torch.bfloat16", "torch.float32"]
    assert len(copy.deepcopy(optimizer).flat_weights) == 2
    flat = next(flat for flat in optimizer.flat_weights if flat.dtype == torch.float32)
    flat.zero_()
    assert not network.output.weight.any()


# ---- Refusals --------------------------------------------------------------------------------------------------------


@each_wrapped_or_not
@pytest.mark.parametrize(("make_parameter", "kind", "text"), [
    (lambda: with_gradient(parameter(3, dtype=torch.complex64)), TypeError, "torch.complex64"),
    (lambda: with_gradient(parameter(3, dtype=torch.float64)), TypeError, "torch.float64: it must be float32"),
    (lambda: with_gradient(parameter(3), torch.ones(3).to_sparse()), TypeError,
     r"gradient of param_groups\[0\]\['params'\]\[0\] is torch.sparse_coo"),
    (lambda: with_gradient(torch.nn.Parameter(torch.ones(4, 4)[:, ::2])), ValueError, "without gaps or overlap"),
    (lambda: with_gradient(torch.nn.Parameter(torch.ones(1).expand(4))), ValueError, "without gaps or overlap"),
], ids=["complex", "float64", "sparse", "gaps", "overlap"])
def test_tensors_that_no_plan_can_hold_are_refused(make: Any, make_parameter: Any, kind: Any, text: str) -> None:
    optimizer = make([make_parameter()])
    with pytest.raises(kind, match=text):
        optimizer.step()


@pytest.mark.parametrize(("optimizer_type", "options", "text"), [
    (NovoGrad, {"lr": -1.0}, "lr is -1"), (NovoGrad, {"betas": (1.0, 0.9)}, r"betas\[0\] is 1"),
    (NovoGrad, {"norm": "l1"}, "norm is 'l1'"),
    (NovoGrad, {"lr_in_momentum": True, "bias_correction": True}, "lr_in_momentum"),
    (NovoGrad, {"lr_mult": -1.0, "group_multipliers": "apply"}, "lr_mult"),
    (NovoGrad, {"lr_mult": [1.0, 2.0], "group_multipliers": "apply"}, "lr_mult has shape"),
    (NovoGrad, {"first_moment_dtype": "float16"}, "first_moment_dtype is 'float16'"),
    (NovoGrad, {"lr": torch.ones(2)}, "lr is a tensor of 2 elements"),
    (LARCSGD, {"nesterov": True, "momentum": 0.0}, "nesterov"), (LARCSGD, {"zero_norm": "one"}, "zero_norm is 'one'"),
    (LARCSGD, {"trust_coefficient": -1.0}, "trust_coefficient is -1")])
def test_options_are_refused_when_the_optimizer_is_made_and_when_a_group_is_added(
        optimizer_type: Any, options: Any, text: str) -> None:
    options = {"lr": 0.1, **options}
    with pytest.raises(ValueError, match=text):
        optimizer_type([parameter(3)], **options)
    optimizer = optimizer_type([parameter(3)], 0.1)
    with pytest.raises(ValueError, match=text):
        optimizer.add_param_group({"params": [parameter(4)], **options})
    assert len(optimizer.param_groups) == 1


def test_larc_refuses_what_is_no_optimizer_and_bad_options() -> None:
    with pytest.raises(TypeError, match=r"LARC wraps a torch\.optim\.Optimizer"):
        LARC([parameter(3)])
    with pytest.raises(layerwise.ArgumentError, match="zero_norm is 'one'"):
        LARC(torch.optim.SGD([parameter(3)], 0.1), zero_norm="one")


def test_a_loaded_state_whose_parameters_differ_in_their_steps_splits_a_bucket() -> None:
    """What is expected is a fresh optimizer that loads the same."""
    network = Network()
    optimizer = MAKERS["NovoGrad"](network.parameters())
    network.output.weight.requires_grad_(False)
    train(network, optimizer, range(2))
    network.output.weight.requires_grad_(True)
    train(network, optimizer, range(2, 5))
    fresh, stepped = copy.deepcopy(network), copy.deepcopy(network)
    optimizers = [MAKERS["NovoGrad"](each.parameters()) for each in (fresh, stepped)]
    train(stepped, optimizers[1], range(1))
    stepped.load_state_dict(network.state_dict())
    for each, other in zip((fresh, stepped), optimizers, strict=True):
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        train(each, other, range(5, 8))
    train(network, optimizer, range(5, 8))
    assert same_bits(fresh, network) and same_bits(stepped, network)
    assert [int(optimizers[1].state[p]["step"]) for p in (stepped.output.weight, stepped.output.bias)] == [6, 8]


@each_optimizer
def test_other_parameter_groups_in_a_checkpoint_are_refused_and_nothing_is_loaded(make: Any) -> None:
    network = Network()
    saved = make(network.parameters()).state_dict()
    other = make([{"params": network.hidden.parameters()}, {"params": network.output.parameters()}])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        other.load_state_dict(saved)
    with pytest.raises(ValueError, match="doesn't match the size"):
        make(network.hidden.parameters()).load_state_dict(saved)


def test_state_of_another_shape_is_refused_and_nothing_is_loaded() -> None:
    network = Network()
    optimizer = NovoGrad(network.hidden.parameters(), 0.01)
    other = NovoGrad(reversed(list(network.hidden.parameters())), 0.02)
    backward(network, 0)
    optimizer.step()
    other.step()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=r"first_moment of parameter 0 has shape .* in another order\?"):
        other.load_state_dict(optimizer.state_dict())
    after = other.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert torch.equal(after["state"][0]["first_moment"], before["state"][0]["first_moment"])


# ---- Values that torch negates when they are read --------------------------------------------------------------------


def negated(values: Any) -> Any:
    """A tensor of these values whose memory holds the opposite sign, as autograd makes gradients of .conj() and .imag."""
    return torch._neg_view(-values)


@each_optimizer
@pytest.mark.parametrize("which", ["gradient", "parameter", "both", "learning rate"])
def test_lazily_negated_tensors_train_as_their_values(make: Any, which: str) -> None:
    """The bits are those of the same values in memory of their own."""
    plain, lazy = parameter(5, 3), torch.nn.Parameter(negated(parameter(5, 3).detach().clone()))
    if which in ("gradient", "learning rate"):
        lazy = parameter(5, 3)
    optimizers = [make([plain]), make([lazy])]
    if which == "learning rate":
        optimizers[0].param_groups[0]["lr"] = torch.tensor(0.25)
        optimizers[1].param_groups[0]["lr"] = negated(torch.tensor(0.25))
    for step in range(3):
        gradient = torch.arange(15.0).reshape(5, 3) - 7 + step
        plain.grad = gradient.clone()
        lazy.grad = negated(gradient) if which in ("gradient", "both") else gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(plain.grad, lazy.grad)
    assert torch.equal(plain, lazy) and not torch.equal(plain, parameter(5, 3))
    assert lazy.is_neg() == (which in ("parameter", "both"))
    assert all(torch.equal(value, optimizers[1].state[lazy][name]) for name, value in optimizers[0].state[plain].items()
               if isinstance(value, torch.Tensor))


def test_a_parameter_that_is_the_imaginary_part_of_a_conjugate_keeps_its_memory() -> None:
    numbers = torch.tensor([1 + 2j])
    weight, plain = torch.nn.Parameter(numbers.conj().imag), torch.nn.Parameter(torch.tensor([-2.0]))
    for each in (weight, plain):
        each.grad = torch.ones(1)
        NovoGrad([each], 0.1).step()
    assert torch.equal(weight, plain) and numbers.imag == -plain


def test_a_negated_parameter_can_be_packed() -> None:
    lazy = torch.nn.Parameter(negated(parameter(4).detach().clone()))
    optimizer = NovoGrad([lazy], 0.1, flatten=True)
    assert torch.equal(lazy, parameter(4)) and not lazy.is_neg() and len(optimizer.flat_weights) == 1


def test_larc_takes_the_options_that_its_closure_leaves() -> None:
    """A framework whose closure is the training step sets the rate in it: the inner optimizer reads it afterwards, and
    so must the factor. By hand: r = min(.002*sqrt(3)/sqrt(3)/.1, 1) = .02."""
    weight = torch.nn.Parameter(torch.ones(3))
    inner = torch.optim.SGD([weight], 0.001)

    def closure() -> Any:
        inner.param_groups[0]["lr"] = 0.1
        weight.grad = torch.ones(3)
        return weight.sum()

    LARC(inner).step(closure)
    assert weight.tolist() == pytest.approx([1 - 0.1 * 0.02] * 3, rel=1e-6)


def test_larc_refuses_a_gradient_that_it_cannot_write_before_it_scales_any() -> None:
    weights = [parameter(2, 3), parameter(2, 3)]
    weights[0].grad, weights[1].grad = torch.ones(2, 3), torch.ones(3).expand(2, 3)
    before = [weight.detach().clone() for weight in weights]
    with pytest.raises(ValueError, match=r"the gradient of param_groups\[0\]\['params'\]\[1\] has strides \(0, 1\).*grad.clone\(\)"):
        LARC(torch.optim.SGD(weights, 0.1)).step()
    assert weights[0].grad.tolist() == [[1.0] * 3] * 2
    assert all(map(torch.equal, weights, before))


@each_optimizer
@pytest.mark.parametrize("name", ["grad_scale", "found_inf"])
def test_what_a_scaler_sets_must_be_a_tensor(make: Any, name: str) -> None:
    """A number there would be left out in silence."""
    weight = parameter(4)
    optimizer = make([weight])
    weight.grad = torch.ones(4)
    setattr(optimizer, name, 8.0)
    with pytest.raises(TypeError, match=f"{name} of the optimizer is 8.0: it must be a tensor"):
        optimizer.step()
