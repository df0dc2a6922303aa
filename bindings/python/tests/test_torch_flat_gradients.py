"""Gradients in one buffer: what a step computes, and what `parameter.grad` holds, is what it is without, bit for bit,
whatever is done between the steps. The right values: the same optimizer, whose gradients lie where autograd puts them.
"""

from __future__ import annotations

import copy
import pickle
import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch_models import MAKERS, Network, backward, each_optimizer, same_bits, torch, twins

from layerwise.torch import LARC, LARCSGD, NovoGrad
from layerwise.torch.pieces import awaited


def grads_of(optimizer: Any) -> list[Any]:
    return [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]


def is_in(tensor: Any, buffers: Any) -> bool:
    return any(buffer.data_ptr() <= tensor.data_ptr() < buffer.data_ptr() + buffer.nbytes for buffer in buffers)


def assert_packed(optimizer: Any, buffers: Any = None) -> None:
    """Every gradient without a graph lies in a buffer, apart from the others, at a multiple of 64 bytes; all the rest
    is 0."""
    buffers = optimizer.pack_grads() if buffers is None else buffers
    grads = [grad for grad in grads_of(optimizer) if grad is not None and not grad.requires_grad]
    ends = 0
    for buffer in buffers:
        inside = sorted((grad for grad in grads if grad.numel() and is_in(grad, [buffer])), key=torch.Tensor.data_ptr)
        rest = buffer.clone()
        for grad in inside:
            assert (grad.data_ptr() - buffer.data_ptr()) % 64 == 0 and grad.data_ptr() >= ends
            ends = grad.data_ptr() + grad.nbytes
            begin = (grad.data_ptr() - buffer.data_ptr()) // grad.element_size()
            rest[begin:begin + grad.numel()] = 0
        assert not rest.any()
        ends = 0
    assert all(is_in(grad, buffers) for grad in grads if grad.numel())


def train(network: Any, optimizer: Any, steps: range, set_to_none: bool) -> None:
    for step in steps:
        optimizer.zero_grad(set_to_none=set_to_none)
        backward(network, step)
        optimizer.step()


@each_optimizer
@pytest.mark.parametrize("set_to_none", [True, False])
def test_packed_gradients_train_to_the_same_bits(make: Callable[..., Any], set_to_none: bool) -> None:
    first, plain, second, packed = twins(make)
    for network in (first, second):
        network.to(memory_format=torch.channels_last)
    packed.pack_grads()
    for step in range(4):
        for network, optimizer in ((first, plain), (second, packed)):
            optimizer.zero_grad(set_to_none=set_to_none)
            backward(network, step)
            optimizer.clip_grad_norm_(1e9)
            optimizer.step()
        assert same_bits(first, second) and all(map(torch.equal, grads_of(plain), grads_of(packed)))
    assert_packed(packed)
    assert second.convolution.weight.grad.is_contiguous(memory_format=torch.channels_last)


def test_backward_adds_into_the_buffer_and_zeroing_keeps_it() -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.01)
    backward(network, 0)
    [buffer] = optimizer.pack_grads()
    views = grads_of(optimizer)
    optimizer.zero_grad(set_to_none=False)
    assert not buffer.any() and not views[0].any()
    backward(network, 1)
    optimizer.step()
    assert [id(grad) for grad in grads_of(optimizer)] == [id(grad) for grad in views]
    assert optimizer.pack_grads()[0] is buffer and buffer.any()
    assert_packed(optimizer, [buffer])


# Hazard: whoever zeroes the buffer alone keeps a gradient that was put in the place of its view, and adds to it.
@pytest.mark.parametrize("replace", [
    lambda p: setattr(p, "grad", p.grad.clone()), lambda p: setattr(p.grad, "data", p.grad.data * 2),
    lambda p: setattr(p, "grad", torch._neg_view(p.grad)),
    lambda p: setattr(p, "grad", p.grad.t().contiguous().t())], ids=["replaced", "data", "negated", "transposed"])
@pytest.mark.parametrize("then", ["zero", "clip", "pack", "step"])
def test_a_gradient_that_was_replaced_is_the_one_that_counts(replace: Any, then: str) -> None:
    first, plain, second, packed = twins(MAKERS["NovoGrad"])
    packed.pack_grads()
    for network, optimizer in ((first, plain), (second, packed)):
        backward(network, 0)
        optimizer.clip_grad_norm_(1e9)
        replace(network.hidden.weight)
        if then == "zero":
            optimizer.zero_grad(set_to_none=False)
            assert not any(map(torch.any, grads_of(optimizer)))
            backward(network, 1)
        elif then == "clip":
            optimizer.clip_grad_norm_(1e9)
        elif then == "pack" and optimizer is packed:
            optimizer.pack_grads()
        if then != "step":
            assert optimizer is plain or all(is_in(grad, optimizer._flat_gradients.buffers)
                                             for grad in grads_of(optimizer))
        optimizer.step()
    assert same_bits(first, second) and all(map(torch.equal, grads_of(plain), grads_of(packed)))


def test_gradients_that_were_exchanged_are_copied_as_they_were() -> None:
    first, second = (torch.nn.Parameter(torch.ones(3, 5)) for _ in range(2))
    optimizer = NovoGrad([first, second], 0.1)
    first.grad, second.grad = torch.full((3, 5), 1.0), torch.full((3, 5), 2.0)
    optimizer.pack_grads()
    first.grad, second.grad = second.grad, first.grad
    assert_packed(optimizer)
    assert (first.grad == 2).all() and (second.grad == 1).all()


def test_layers_without_gradients_are_left_out_and_hold_zeros() -> None:
    first, plain, second, packed = twins(MAKERS["NovoGrad"])
    packed.pack_grads()
    for step in range(3):
        for network, optimizer in ((first, plain), (second, packed)):
            optimizer.zero_grad(set_to_none=step != 1)
            backward(network, step)
            if step != 1:
                network.hidden.weight.grad = None
            optimizer.clip_grad_norm_(0.5)
            optimizer.step()
        assert (first.hidden.weight.grad is None) == (second.hidden.weight.grad is None) == (step != 1)
        assert_packed(packed)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)  # the norm is added up in another order
        assert plain.state[a]["step"] == packed.state[b]["step"]


# Hazard: nan times the zeros between gradients: a norm that stays nan after the gradients are finite again.
def test_a_norm_that_is_not_finite_leaves_nothing_behind() -> None:
    parameters = [torch.nn.Parameter(torch.ones(3)) for _ in range(3)]
    optimizer = NovoGrad(parameters, 0.1)
    for parameter in parameters[:2]:
        parameter.grad = torch.full((3,), torch.nan)
    assert optimizer.pack_grads() and optimizer.clip_grad_norm_(1).isnan()
    for parameter in parameters[:2]:
        parameter.grad.fill_(2)
    assert optimizer.clip_grad_norm_(1e9) == 24**0.5
    assert_packed(optimizer)


def test_clipping_is_torchs_own_but_for_the_order_of_the_sum() -> None:
    first, plain, second, packed = twins(MAKERS["NovoGrad"])
    for network in (first, second):
        network.hidden.bfloat16()  # another buffer
        for seed, parameter in enumerate(network.parameters()):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)).to(
                parameter.dtype)
    assert sorted(str(buffer.dtype) for buffer in packed.pack_grads()) == ["torch.bfloat16", "torch.float32"]
    expected = torch.nn.utils.clip_grad_norm_([p for p in first.parameters()], 0.5)
    bfloat16 = 2.0**-8  # to which torch rounds the norm of each tensor of that dtype
    torch.testing.assert_close(packed.clip_grad_norm_(0.5), expected, rtol=bfloat16, atol=0)
    for a, b in zip(grads_of(plain), grads_of(packed), strict=True):
        torch.testing.assert_close(a, b, rtol=bfloat16 * (2 if a.dtype is torch.bfloat16 else 1), atol=0)
    everything = torch.cat([grad.double().flatten() for grad in grads_of(packed)])
    torch.testing.assert_close(packed.clip_grad_norm_(1e9).double(), everything.norm(), rtol=2e-6, atol=0)


# Hazard: after a step that may be taken again, clipping takes the gradients that it finds, not those of the step before.
@each_optimizer
@pytest.mark.parametrize("change", ["new", "replaced", "negated", "one more", "one less"])
def test_clipping_after_steps_takes_the_gradients_that_are_there(make: Callable[..., Any], change: str) -> None:
    network = Network()
    optimizer = make(network.parameters())
    for step in range(4):
        if step < 3 and change == "one more":
            network.hidden.weight.requires_grad_(False)
        optimizer.zero_grad()
        backward(network, step)
        if step < 3:
            optimizer.step()
        network.requires_grad_(True)
    weight = network.hidden.weight
    if change == "one more":
        weight.grad = torch.full_like(weight, 0.5)
    elif change == "one less":
        weight.grad = None
    elif change == "replaced":
        weight.grad = weight.grad * 3
    elif change == "negated":
        weight.grad = torch._neg_view(weight.grad.clone())
    there = [grad.clone() for grad in grads_of(optimizer) if grad is not None]
    norm = torch.cat([grad.double().flatten() for grad in there]).norm()
    torch.testing.assert_close(optimizer.clip_grad_norm_(0.01).double(), norm, rtol=2e-6, atol=0)
    clipped = [grad for grad in grads_of(optimizer) if grad is not None]
    for before, after in zip(there, clipped, strict=True):
        torch.testing.assert_close(after.double(), before.double() * 0.01 / (norm + 1e-6), rtol=1e-6, atol=0)
    optimizer.step()


# Hazard: torch adds the squares of a tensor one after the other in float32, on the CPU: of 4 million it is 8e-5 off.
@pytest.mark.parametrize("packs", [False, True])
def test_the_norm_of_a_large_layer_is_what_float64_says(packs: bool) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2**12, 2**10))
    parameter.grad = torch.randn(2**12, 2**10, generator=torch.Generator().manual_seed(0))
    optimizer = NovoGrad([parameter], 0.1)
    if packs:
        optimizer.pack_grads()
    expected = parameter.grad.double().norm()
    torch.testing.assert_close(optimizer.clip_grad_norm_(1e9).double(), expected, rtol=2e-6, atol=0)


def test_gradients_that_cannot_be_packed_stay_and_count() -> None:
    """By hand: 3^2 + 4^2 + 12^2 = 13^2."""
    packed, with_graph, alone = (torch.nn.Parameter(torch.ones(1)) for _ in range(3))
    optimizer = NovoGrad([packed, with_graph, alone], 0.1)
    packed.grad, with_graph.grad, alone.grad = torch.tensor([3.0]), torch.tensor([4.0]), torch.tensor([12.0])
    with_graph.grad.requires_grad_()
    alone.grad.share_memory_()
    before = with_graph.grad, alone.grad
    optimizer.pack_grads()
    assert (with_graph.grad, alone.grad) == before and optimizer.clip_grad_norm_(1.0) == 13
    assert [round(float(grad.detach()), 5) for grad in grads_of(optimizer)] == [round(x / 13, 5) for x in (3, 4, 12)]
    optimizer.zero_grad(set_to_none=False)
    assert not any(map(torch.any, grads_of(optimizer)))


def test_sparse_gradients_are_refused_as_without() -> None:
    table, other = torch.nn.Parameter(torch.ones(4, 2)), torch.nn.Parameter(torch.ones(3))
    optimizer = NovoGrad([("table", table), ("other", other)], 0.1)
    table.grad, other.grad = torch.ones(4, 2).to_sparse(), torch.ones(3)
    optimizer.pack_grads()
    for act in (optimizer.step, lambda: optimizer.clip_grad_norm_(1.0)):
        with pytest.raises(TypeError, match=r"gradient of table is torch.sparse_coo"):
            act()
    assert (other == 1).all() and (other.grad == 1).all()


def test_an_engines_flat_partitions_are_refused() -> None:
    optimizer = NovoGrad([torch.nn.Parameter(torch.ones(3))], 0.1)
    with awaited(optimizer), pytest.raises(RuntimeError, match="the engine has them"):
        optimizer.pack_grads()
    optimizer = NovoGrad([torch.nn.Parameter(torch.ones(3))], 0.1)
    optimizer.pack_grads()
    with pytest.raises(ValueError, match="pack_grads was called"):
        optimizer.set_pieces({})


@each_optimizer
def test_copies_and_pickles_pack_into_buffers_of_their_own(make: Callable[..., Any], tmp_path: Path) -> None:
    network = Network()
    optimizer = make(network.parameters())
    backward(network, 0)
    buffers = optimizer.pack_grads()
    optimizer.step()
    both = network, optimizer
    for copied_network, copied in (copy.deepcopy(both), pickle.loads(pickle.dumps(both))):
        for net, each in ((network, optimizer), (copied_network, copied)):
            each.zero_grad(set_to_none=False)
            net.zero_grad()
            backward(net, 1)
            each.clip_grad_norm_(1e9)
        assert all(map(torch.equal, grads_of(optimizer), grads_of(copied)))
        assert not any(is_in(grad, buffers) for grad in grads_of(copied))
        assert_packed(copied)
    assert all(is_in(grad, buffers) for grad in grads_of(optimizer))


def test_a_state_dict_says_nothing_of_it() -> None:
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.01)
    before = optimizer.state_dict()
    optimizer.pack_grads()
    assert optimizer.state_dict() == before
    optimizer.load_state_dict(before)
    backward(network, 0)
    optimizer.clip_grad_norm_(1e9)
    assert_packed(optimizer)


def test_a_step_that_is_compiled_reads_the_buffer() -> None:
    first, plain, second, packed = twins(MAKERS["NovoGrad"])
    packed.pack_grads()
    compiled = torch.compile(packed.step, backend="eager")
    for step in range(3):
        for network, optimizer, take in ((first, plain, plain.step), (second, packed, compiled)):
            optimizer.zero_grad(set_to_none=False)
            backward(network, step)
            optimizer.clip_grad_norm_(1e9)
            take()
    assert same_bits(first, second)
    assert_packed(packed)


# Hazard: DistributedDataParallel has buckets of its own, and with gradient_as_bucket_view gradients are views of those.
@pytest.mark.parametrize("as_view", [False, True])
def test_distributed_data_parallel_trains_to_the_same_bits(as_view: bool, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        first, plain, second, packed = twins(MAKERS["LARCSGD"])
        packed.pack_grads()
        engines = [torch.nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=as_view)
                   for network in (first, second)]
        for step in range(4):
            for engine, optimizer in zip(engines, (plain, packed), strict=True):
                optimizer.zero_grad(set_to_none=step % 2 == 0)
                backward(engine, step)
                optimizer.clip_grad_norm_(1e9)
                optimizer.step()
        assert same_bits(first, second)
        assert_packed(packed)
    finally:
        torch.distributed.destroy_process_group()


def test_hooks_that_step_while_backward_runs_find_the_views() -> None:
    """One optimizer for each parameter, stepped as soon as its gradient is there."""
    first, second = Network(), Network()
    for network, packs in ((first, False), (second, True)):
        for parameter in network.parameters():
            optimizer = NovoGrad([parameter], 0.01)
            if packs:
                optimizer.pack_grads()

            def take(parameter: Any, optimizer: Any = optimizer) -> None:
                optimizer.clip_grad_norm_(1e9)
                optimizer.step()
                optimizer.zero_grad(set_to_none=False)

            parameter.register_post_accumulate_grad_hook(take)
        for step in range(3):
            backward(network, step)
    assert same_bits(first, second)


def test_a_parameter_that_is_laid_out_anew_is_given_a_place_of_that_layout() -> None:
    # Hazard: a gradient of other strides than its parameter's, which autograd and the step then go over element by element.
    weight = torch.nn.Parameter(torch.arange(24.0).reshape(4, 6))
    optimizer = NovoGrad([weight], lr=0.1)
    weight.square().sum().backward()
    optimizer.pack_grads()
    weight.data = weight.data.t().contiguous().t()
    optimizer.zero_grad()
    weight.square().sum().backward()
    optimizer.pack_grads()
    assert weight.grad is not None and weight.grad.stride() == weight.stride() == (1, 4)
    assert torch.equal(weight.grad, 2 * weight)


def test_parameters_that_are_gone_are_kept_alive_by_nothing() -> None:
    kept, gone = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(5))
    optimizer = NovoGrad([{"params": [kept]}, {"params": [gone]}], 0.1)
    kept.grad, gone.grad = torch.ones(3), torch.ones(5)
    optimizer.pack_grads()
    del optimizer.param_groups[1]
    reference = weakref.ref(gone)
    del gone
    assert reference() is None
    [buffer] = optimizer.pack_grads()
    assert len(buffer) == 16 and optimizer.clip_grad_norm_(1e9) == 3**0.5


def test_flat_weights_and_flat_gradients_go_together() -> None:
    first, plain, second, _ = twins(MAKERS["LARCSGD"])
    packed = LARCSGD(second.parameters(), 0.1, weight_decay=1e-4, flatten=True)
    [gradients], [weights] = packed.pack_grads(), packed.flat_weights
    for network, optimizer in ((first, plain), (second, packed)):
        train(network, optimizer, range(3), set_to_none=False)
    assert same_bits(first, second) and gradients.shape == weights.shape
    places = [(p.data_ptr() - weights.data_ptr(), p.grad.data_ptr() - packed.pack_grads()[0].data_ptr())
              for p in second.parameters()]
    assert all(weight == grad for weight, grad in places)


# ---- Whatever happens between steps ----------------------------------------------------------------------------------


class Pair:
    """The same parameters twice, with an optimizer that packs gradients and one that does not."""

    def __init__(self, kind: str, seed: int) -> None:
        self.choose = random.Random(seed)
        torch.manual_seed(seed)
        shapes = [(3,), (4, 6), (6, 4), (5, 5), (5, 5), (1,), (0,), (), (2, 3, 4, 5), (130,)]
        values = [torch.randn(shape) for shape in shapes]
        self.sides = []
        for packs in (False, True):
            params = [torch.nn.Parameter(value.clone()) for value in values]
            optimizer = self.made(kind, params)
            if packs:
                optimizer.pack_grads()
            self.sides.append((params, optimizer))

    @staticmethod
    def made(kind: str, params: Any) -> Any:
        if kind == "LARC":
            return LARC(torch.optim.SGD([{"params": params[:5]}, {"params": params[5:]}], 0.1, momentum=0.9), threads=1)
        return MAKERS[kind]([{"params": params[:5]}, {"params": params[5:]}])

    def each(self, act: Callable[..., Any]) -> None:
        if act is do_copy and not any(grad.requires_grad for grad in grads_of(self.sides[0][1]) if grad is not None):
            self.sides = [copy.deepcopy(side) for side in self.sides]
        seed = self.choose.random()
        for params, optimizer in self.sides:
            act(params, optimizer, random.Random(seed))

    def check(self) -> None:
        (params, plain), (others, packed) = self.sides
        for number, (a, b) in enumerate(zip(params, others, strict=True)):
            assert torch.equal(a, b), f"weight {number}"
            assert (a.grad is None) == (b.grad is None), f"gradient {number}"
            assert a.grad is None or torch.equal(a.grad, b.grad), f"gradient {number}"
            for name, value in plain.state.get(a, {}).items():
                other = packed.state.get(b, {}).get(name, torch.zeros_like(value))  # clipping may make it, of zeros
                assert torch.equal(value, other), name


def some(params: Any, choose: random.Random) -> Any:
    return choose.sample(params, choose.randint(1, len(params)))


def do_backward(params: Any, _: Any, choose: random.Random) -> None:
    taking = [p for p in some(params, choose) if p.requires_grad]
    if taking:
        sum((p * p * (1 + number)).sum() if number % 3 else p.sum() for number, p in enumerate(taking)).backward()


def do_replace(params: Any, _: Any, choose: random.Random) -> None:
    for p in some(params, choose):
        if p.grad is None:
            continue
        kind = choose.randrange(3 if p.grad.requires_grad else 7)  # torch's own zero_grad refuses views with a graph
        if kind == 0:
            p.grad = None
        elif kind == 1:
            p.grad = p.grad.clone()
        elif kind == 2:
            p.grad.data = p.grad.data * 0.5
        elif kind == 3:
            p.grad = torch._neg_view(p.grad)
        elif kind == 4 and p.dim() == 2:
            p.grad = p.grad.t().contiguous().t()
        elif kind == 5:
            p.grad = p.grad.view_as(p.grad)
        else:
            p.grad.mul_(1.5)


def do_exchange(params: Any, _: Any, choose: random.Random) -> None:
    params[3].grad, params[4].grad = params[4].grad, params[3].grad


def do_move(params: Any, _: Any, choose: random.Random) -> None:
    p = choose.choice(params)
    p.data = p.data.clone() if choose.random() < 0.5 or p.dim() != 4 else p.data.contiguous(
        memory_format=choose.choice([torch.channels_last, torch.contiguous_format]))


def do_freeze(params: Any, _: Any, choose: random.Random) -> None:
    p = choose.choice(params)
    p.requires_grad_(not p.requires_grad)


def do_zero(params: Any, optimizer: Any, choose: random.Random) -> None:
    kind = choose.randrange(3)
    if kind == 2:
        for p in params:
            p.grad = None
    else:
        optimizer.zero_grad(set_to_none=bool(kind))


def do_regroup(params: Any, optimizer: Any, choose: random.Random) -> None:
    for group in optimizer.param_groups:
        choose.shuffle(group["params"])


def do_add(params: Any, optimizer: Any, choose: random.Random) -> None:
    if len(params) < 13:
        params.append(torch.nn.Parameter(torch.full((choose.randint(1, 40),), 0.5)))
        optimizer.add_param_group({"params": [params[-1]], **({"lr": 0.1} if isinstance(optimizer, LARC) else {})})


def do_clip(params: Any, optimizer: Any, choose: random.Random) -> None:
    optimizer.clip_grad_norm_(1e30)  # a factor of 1 on both sides


def do_scale_all(params: Any, optimizer: Any, choose: random.Random) -> None:
    for p in params:
        if p.grad is not None:
            p.grad.mul_(0.25)


def do_empty_state(params: Any, optimizer: Any, choose: random.Random) -> None:
    for p in some(params, choose):
        optimizer.state.pop(p, None)


def do_backward_with_a_graph(params: Any, _: Any, choose: random.Random) -> None:
    taking = [p for p in some(params, choose) if p.requires_grad]
    if taking:
        sum((p * p).sum() for p in taking).backward(create_graph=True)
        for p in params:
            if p.grad is not None and choose.random() < 0.5:
                p.grad = p.grad.detach()


def do_take_out(params: Any, optimizer: Any, choose: random.Random) -> None:
    """A group, and back at the end."""
    optimizer.param_groups.append(optimizer.param_groups.pop(0))


def do_refused_step(params: Any, optimizer: Any, choose: random.Random) -> None:
    """A sparse gradient is refused, and nothing of the step is done."""
    p = params[1]
    kept, p.grad = p.grad, torch.ones(p.shape).to_sparse()
    for act in choose.sample((optimizer.step, lambda: optimizer.clip_grad_norm_(1.0)), 2):
        with pytest.raises(TypeError, match="sparse"):
            act()
    p.grad = kept


def do_copy(params: Any, optimizer: Any, choose: random.Random) -> None:
    """Of parameters and optimizer together: see Pair.each."""


ACTS = [do_backward, do_backward, do_replace, do_exchange, do_move, do_freeze, do_zero, do_regroup, do_add, do_clip,
        do_scale_all, do_empty_state, do_backward_with_a_graph, do_take_out, do_refused_step, do_copy]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", MAKERS)
def test_random_changes_between_steps_leave_the_bits_of_the_plain_path(kind: str, seed: int) -> None:
    pair = Pair(kind, seed)
    for _ in range(30):
        for _ in range(pair.choose.randint(1, 4)):
            act = pair.choose.choice(ACTS)
            pair.each(act)
            if act is do_clip or (act is do_zero and pair.choose.random() < 0.5) or pair.choose.random() < 0.2:
                assert_packed(pair.sides[1][1])
            pair.check()
        pair.each(lambda params, optimizer, _: optimizer.step())
        pair.check()
