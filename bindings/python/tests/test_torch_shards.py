"""Pieces of layers are refused before anything is written; layers that every rank holds whole are stepped.

Two ranks are torch's own process group without a network ("fake"): what a rank holds is what counts here.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, MAKERS, NovoGrad, each_optimizer

torch = torch_models.torch
if not torch.distributed.is_available():
    pytest.skip("this PyTorch was built without torch.distributed", allow_module_level=True)

from torch.distributed.device_mesh import init_device_mesh  # noqa: E402
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard  # noqa: E402
from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: E402

from layerwise.torch import pieces  # noqa: E402


@pytest.fixture(params=[2], ids=["2 ranks"])
def ranks(request: Any) -> Iterator[int]:
    torch.distributed.init_process_group("fake", rank=0, world_size=request.param, store=FakeStore())
    yield request.param
    torch.distributed.destroy_process_group()


one_rank = pytest.mark.parametrize("ranks", [1], indirect=True, ids=["1 rank"])


def parameter(*shape: int, **marks: Any) -> Any:
    torch.manual_seed(0)
    made = torch.nn.Parameter(torch.randn(shape))
    for name, value in marks.items():
        setattr(made, name, value)
    return made


def with_gradients(*parameters: Any) -> list[Any]:
    for each in parameters:
        each.grad = torch.ones_like(each)
    return list(parameters)


def held(tensor: Any, *placements: Any, mesh: Any = None) -> Any:
    """A DTensor with this local tensor."""
    mesh = mesh or init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    return DTensor.from_local(tensor, mesh, placements, run_check=False)


def refused(optimizer: Any, parameters: list[Any], text: str) -> None:
    """The step raises, and neither parameters nor gradients nor state were written."""
    weights, grads = [p.detach().clone() for p in parameters], [p.grad.clone() for p in parameters]
    with pytest.raises((TypeError, ValueError), match=text):
        optimizer.step()
    assert all(torch.equal(p, w) and torch.equal(p.grad, g)
               for p, w, g in zip(parameters, weights, grads, strict=True))
    assert all(not torch.as_tensor(value).any() for values in optimizer.state.values() for value in values.values())


# ---- DTensors --------------------------------------------------------------------------------------------------------


@each_optimizer
@pytest.mark.parametrize("kind", ["replicated", "a dimension of one rank"])
def test_dtensors_that_are_whole_train_as_the_tensors_they_hold(make: Any, kind: str, ranks: int) -> None:
    """torchtitan wraps every parameter, with replicas alone as (Replicate, Shard(0)) over one shard."""
    mesh = init_device_mesh("cpu", (2,) if kind == "replicated" else (2, 1))
    placements = [Replicate()] if kind == "replicated" else [Replicate(), Shard(0)]
    plain = [parameter(6, 4), parameter(4)]
    wrapped = [torch.nn.Parameter(held(p.detach().clone(), *placements, mesh=mesh)) for p in plain]
    optimizers = [make(plain), make(wrapped)]
    for step in range(3):
        for ours, theirs in zip(plain, wrapped, strict=True):
            ours.grad = torch.full_like(ours, 0.5 + step)
            theirs.grad = held(ours.grad.clone(), *placements, mesh=mesh)
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(ours, theirs.to_local()) for ours, theirs in zip(plain, wrapped, strict=True))
    assert not torch.equal(plain[0], parameter(6, 4))


@one_rank
@each_optimizer
def test_a_shard_of_one_is_whole(make: Any, ranks: int) -> None:
    plain = with_gradients(parameter(6, 4))
    wrapped = torch.nn.Parameter(held(plain[0].detach().clone(), Shard(0)))
    wrapped.grad = held(plain[0].grad.clone(), Partial())  # the sum of one
    try:
        wrapped.grad.add(wrapped)
    except RuntimeError:  # as in torch 2.9
        pytest.skip("this version of torch adds no shard to a partial sum, as its own SGD does")
    make(plain).step()
    make([wrapped]).step()
    assert torch.equal(plain[0], wrapped.to_local())


@each_optimizer
def test_parameters_whose_sum_is_still_to_be_made_are_refused_when_the_optimizer_is_made(make: Any, ranks: int) -> None:
    with pytest.raises(TypeError, match=r"parameter 1 is a DTensor with .* over 2 ranks: it must be replicated"):
        make([parameter(4), torch.nn.Parameter(held(torch.ones(3, 4), Partial()))])


def test_they_are_refused_with_flatten_and_in_a_group_that_is_added(ranks: int) -> None:
    plain, sharded = parameter(4), torch.nn.Parameter(held(torch.ones(3, 4), Partial()))
    address = plain.data_ptr()
    with pytest.raises(TypeError, match="fc is a DTensor"):
        NovoGrad([("bias", plain), ("fc", sharded)], 0.1, flatten=True)
    assert plain.data_ptr() == address
    for optimizer in (NovoGrad([plain], 0.1), LARC(torch.optim.SGD([plain], 0.1))):
        with pytest.raises(TypeError, match="DTensor"):
            optimizer.add_param_group({"params": [sharded]})
        assert len(optimizer.param_groups) == 1


@each_optimizer
def test_a_gradient_whose_sum_is_still_to_be_made_is_refused_at_the_step(make: Any, ranks: int) -> None:
    plain = with_gradients(parameter(4))
    wrapped = torch.nn.Parameter(held(torch.ones(4), Replicate()))
    optimizer = make([*plain, wrapped])
    wrapped.grad = held(torch.ones(4), Replicate())
    optimizer.step()
    wrapped.grad = held(torch.ones(4), Partial())
    before = plain[0].detach().clone()
    with pytest.raises(TypeError, match="the gradient of .* is a DTensor with"):
        optimizer.step()
    assert torch.equal(plain[0], before)


@each_optimizer
def test_a_frozen_shard_is_left_alone(make: Any, ranks: int) -> None:
    """As any frozen parameter; the right value is without it."""
    frozen = torch.nn.Parameter(held(torch.ones(3, 4), Shard(0)), requires_grad=False)
    beside, alone = with_gradients(parameter(4), parameter(6, 4)), with_gradients(parameter(4), parameter(6, 4))
    make([beside[0], frozen, beside[1]]).step()
    make(alone).step()
    assert all(torch.equal(a, b) for a, b in zip(beside, alone, strict=True))
    assert torch.equal(frozen.to_local(), torch.ones(3, 4))
    packed = NovoGrad([beside[0], frozen, beside[1]], 0.1, flatten=True)
    packed.step()
    assert len(packed.flat_weights) == 1


# ---- Marks -----------------------------------------------------------------------------------------------------------


@each_optimizer
@pytest.mark.parametrize("mark", ["_fsdp_flattened", "_is_flat_param", "_is_sharded"])
def test_parameters_that_an_engine_has_marked_are_refused(make: Any, mark: str) -> None:
    parameters = with_gradients(parameter(4), parameter(9, **{mark: True}))
    optimizer = make([{"params": parameters[:1]}, {"params": parameters[1:]}])
    refused(optimizer, parameters, "DistributedDataParallel")


@one_rank
@pytest.mark.parametrize("use_orig_params", [False, True])
def test_fullyshardeddataparallel_is_refused_in_both_modes(use_orig_params: bool, ranks: int) -> None:
    """torch's own wrapper, so that a new name of its marks is noticed."""
    model = torch.distributed.fsdp.FullyShardedDataParallel(
        torch.nn.Linear(3, 4), use_orig_params=use_orig_params, device_id=torch.device("cpu"))
    parameters = list(model.parameters())
    optimizer = NovoGrad(parameters, 0.1)
    for each in parameters:
        each.grad = torch.ones_like(each)
    refused(optimizer, parameters, "FullyShardedDataParallel")


@each_optimizer
def test_tensor_parallel_parameters_are_refused_over_more_than_one_rank(make: Any, ranks: int) -> None:
    parameters = with_gradients(parameter(4), parameter(9, tensor_model_parallel=True))
    refused(make(parameters), parameters, "tensor_model_parallel.*2 ranks")


@one_rank
def test_tensor_parallel_parameters_of_one_rank_are_whole(ranks: int) -> None:
    parameters = with_gradients(parameter(9, tensor_model_parallel=True), parameter(9, tensor_model_parallel=False))
    NovoGrad(parameters, 0.1).step()
    assert not torch.equal(parameters[0], parameter(9))


def test_megatron_itself_says_how_many_ranks_share_a_layer(ranks: int, monkeypatch: Any) -> None:
    """It marks every layer of its own kinds, and data-parallel ranks hold them whole."""
    engine = types.ModuleType("megatron.core.parallel_state")
    engine.model_parallel_is_initialized = lambda: True  # type: ignore[attr-defined]
    engine.get_tensor_model_parallel_world_size = lambda: size  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    parameters = with_gradients(parameter(9, tensor_model_parallel=True))
    optimizer = NovoGrad(parameters, 0.1)
    size = 2
    refused(optimizer, parameters, "tensor_model_parallel")
    size = 1
    optimizer.step()


# ---- Flat partitions -------------------------------------------------------------------------------------------------


def flat(*parameters: Any, ranks: int = 1) -> Any:
    """What ZeRO stages 1 and 2 put in a group: one vector with a rank's share of all its parameters."""
    joined = torch.cat([p.detach().flatten() for p in parameters])
    return with_gradients(torch.nn.Parameter(joined[:joined.numel() // ranks].clone()))[0]


@each_optimizer
@pytest.mark.parametrize("shapes", [[(6, 4), (4,)], [(6, 4)], [(2, 2), (4,)], [(1,), (3, 5)]], ids=str)
@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("stepped", [False, True])
def test_a_flat_partition_in_the_place_of_parameters_is_refused(
        make: Any, shapes: Any, pieces: int, stepped: bool) -> None:
    parameters = with_gradients(*(parameter(*shape) for shape in shapes))
    optimizer = make(parameters)
    if stepped:
        optimizer.step()
        optimizer.state.clear()
    piece = flat(*parameters, ranks=pieces)
    optimizer.param_groups[0]["params"] = [piece]
    refused(optimizer, [piece], "flat partition.*DistributedDataParallel")


@each_optimizer
def test_vectors_that_are_cut_are_refused_over_more_than_one_rank(make: Any, ranks: int) -> None:
    parameters = with_gradients(parameter(6), parameter(8))
    optimizer = make(parameters)
    pieces = [flat(p, ranks=ranks) for p in parameters]
    optimizer.param_groups[0]["params"] = pieces
    refused(optimizer, pieces, "flat partition")


@each_optimizer
@pytest.mark.parametrize("cut", [lambda w: w.flatten(), lambda w: w.flatten()[:5], lambda w: w[:2]],
                         ids=["flat", "flat and cut", "rows"])
def test_data_that_was_replaced_by_a_piece_is_refused(make: Any, cut: Any) -> None:
    parameters = with_gradients(parameter(4), parameter(6, 4))
    optimizer = make([{"params": parameters[:1]}, {"params": parameters[1:]}])
    parameters[1].grad = None
    parameters[1].data = cut(parameters[1].data).clone()
    parameters[1].grad = torch.ones_like(parameters[1])
    refused(optimizer, parameters, r"had shape \(6, 4\)")


def test_float32_masters_in_the_place_of_some_parameters_are_whole() -> None:
    """Megatron's layer-wise distributed optimizer gives every rank whole layers, and masters for them."""
    model = [torch.nn.Parameter(parameter(*shape).detach().bfloat16()) for shape in [(6, 4), (4,), (5, 6), (5,)]]
    optimizer = NovoGrad(model, 0.1)
    masters = with_gradients(*(torch.nn.Parameter(p.detach().float()) for p in model[2:]))
    optimizer.param_groups[0]["params"] = masters
    expected = with_gradients(*(torch.nn.Parameter(p.detach().clone()) for p in masters))
    optimizer.step()
    NovoGrad(expected, 0.1).step()
    assert all(torch.equal(a, b) for a, b in zip(masters, expected, strict=True))


def test_larc_goes_on_with_a_parameter_that_was_replaced() -> None:
    """LARC keeps nothing of a parameter; the right value is a new LARC's, and the inner optimizer has its own rules."""
    for shape in [(6, 4), (6, 8)]:
        parameters = with_gradients(parameter(4), parameter(6, 4), parameter(6))
        optimizer = MAKERS["LARC"](parameters)
        optimizer.step()
        replaced = with_gradients(parameter(*shape), parameter(shape[1]))
        twins = with_gradients(*(torch.nn.Parameter(p.detach().clone()) for p in replaced))
        optimizer.param_groups[0]["params"][1:] = replaced
        parameters[0].grad = None
        optimizer.step()
        MAKERS["LARC"](twins).step()
        assert all(torch.equal(a, b) for a, b in zip(replaced, twins, strict=True))


def test_larc_follows_a_parameter_to_another_dtype() -> None:
    parameters = with_gradients(parameter(6, 4))
    optimizer = LARC(torch.optim.SGD(parameters, 0.1), threads=1)
    optimizer.step()
    parameters[0].grad = None
    parameters[0].data = parameters[0].data.bfloat16()
    twin = torch.nn.Parameter(parameters[0].detach().clone())
    for each, other in ((parameters[0], optimizer), (twin, LARC(torch.optim.SGD([twin], 0.1), threads=1))):
        each.grad = torch.ones_like(each)
        other.step()
    assert torch.equal(parameters[0], twin)


def test_wrapped_values_are_refused_by_name() -> None:
    """A subclass that holds its values in other tensors, as quantised weights do, has no memory of its own."""
    class Quantised(torch.Tensor):
        @staticmethod
        def __new__(cls: Any, values: Any) -> Any:
            return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=torch.float32)

        def __init__(self, values: Any) -> None:
            self.values_ = values

        @classmethod
        def __torch_dispatch__(cls, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
                return cls(args[0].values_)
            raise NotImplementedError(function)

    weight = torch.nn.Parameter(Quantised(torch.ones(3, 2, dtype=torch.int8)))
    weight.grad = torch.ones(3, 2)
    for make in MAKERS.values():
        [bias] = with_gradients(parameter(4))
        with pytest.raises(TypeError, match="weight is a Quantised, a wrapper"):
            make([("bias", bias), ("weight", weight)]).step()
        assert torch.equal(bias, parameter(4))


# ---- Which pieces an engine's flat parameters hold -------------------------------------------------------------------


def test_deepspeeds_fragments_are_pieces() -> None:
    """A stand-in for rank 1 of 2: six elements of (4, 3) and (5,), the second layer's whole; DeepSpeed itself is run
    beside these in test_torch_ranks.py, where it is installed."""
    def fragment(start: int, numel: int) -> Any:
        return types.SimpleNamespace(start=start, numel=numel)

    layers = [parameter(2), parameter(4, 3), parameter(5)]
    for layer, here, there in ((layers[1], (7, 5), (0, 5)), (layers[2], (0, 5), (5, 5))):
        layer._hp_mapping = types.SimpleNamespace(lp_fragment_address=fragment(*here),
                                                  hp_fragment_address=fragment(*there))
    flat = torch.zeros(12)
    engine = types.SimpleNamespace(bit16_groups=[layers], single_partition_of_fp32_groups=[flat],
                                   real_dp_process_group=["group"], param_names={layers[1]: "fc.weight"})
    found, group = pieces.deepspeed(engine)
    assert group == "group"
    assert found == {flat: [pieces.Piece("fc.weight", 12, 7, 0, 5), pieces.Piece("0.2", 5, 0, 5, 5)]}
    with pytest.raises(TypeError, match="ZeRO stage 1 or 2"):
        pieces.deepspeed(torch.optim.SGD(layers, 0.1))


def test_megatrons_ranges_are_pieces() -> None:
    """A stand-in with the names of Megatron-core 0.19.2's DistributedOptimizer."""
    low, full = parameter(4, 3), parameter(5)
    shards = {low: torch.zeros(5), full: torch.zeros(2)}
    ranges = {low: (7, 12), full: (0, 2)}
    engine = types.SimpleNamespace(
        buffers=[types.SimpleNamespace(params=[full]), types.SimpleNamespace(params=[parameter(1), low])],
        model_float16_groups=[[low]], shard_fp32_from_float16_groups=[[shards[low]]], model_fp32_groups=[[full]],
        shard_fp32_groups=[[shards[full]]], data_parallel_group="group", _get_model_param_range_map=lambda layer: {
            "param": types.SimpleNamespace(start=ranges[layer][0], end=ranges[layer][1])})
    found, group = pieces.megatron(engine)
    assert group == "group"
    assert found == {shards[low]: [pieces.Piece("1.1", 12, 7, 0, 5)], shards[full]: [pieces.Piece("0.0", 5, 0, 0, 2)]}
    engine.shard_fp32_from_float16_groups = [[None]]
    with pytest.raises(TypeError, match="no float32 shard"):
        pieces.megatron(engine)
    with pytest.raises(TypeError, match="DistributedOptimizer"):
        pieces.megatron(torch.optim.SGD([low], 0.1))
