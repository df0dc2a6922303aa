"""A step on arrays that a mesh cuts: every device steps its own pieces, and only the layers' sums are exchanged.

Sharding that the compiler decides reaches the step through custom_partitioning, sharding that is part of an array's
type through shard_map. Inside a caller's shard_map the arrays are what they are: every piece is a layer, and JAX's own
check finds those that should not be; or, along the axes that the caller has named, a piece of one.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from .. import _errors
from .._errors import refusal
from .._version import VERSION
from ._ffi import Call, Operands, Results, in_halves, varying_axes, whole

Spec = tuple[tuple[str, ...], ...]  # the axes that each dimension is cut along

# Whether a sharding rule may name the dimensions that must not be cut, as in JAX 0.7.2 and later. In older versions
# _partition alone, which runs after the rule, asks for those whole.
_RULES_NAME_UNCUT = "need_replication_factors" in inspect.signature(custom_partitioning.def_partition).parameters


def on_any_mesh(call: Call) -> Callable[[Operands], Results]:
    """The step as a function of operands that lie on one device, on many, or in pieces on many."""
    one_model = jax.custom_batching.custom_vmap(_sharded(call, False))
    many_models = jax.custom_batching.sequential_vmap(_sharded(call, True))

    @one_model.def_vmap  # type: ignore[untyped-decorator]
    def step_models(count: int, is_mapped: Sequence[bool], *flat: Any) -> Any:
        results = many_models(*(array if mapped else jnp.broadcast_to(array, (count, *array.shape))
                                for array, mapped in zip(flat, is_mapped, strict=True)))
        return results, [True] * len(results)

    def step(operands: Operands) -> Results:
        if call.axes:
            cut = [varying_axes(weight) & set(call.axes) for weight in operands.lists[0]]
            return in_halves(call, operands, call.axes, cut)
        if "Manual" in _kinds_of_axes(operands.lists[0][0]):
            return whole(call, operands)
        return _results(call, one_model(*_flat(call, operands)))

    return step


def _sharded(call: Call, many: bool) -> Callable[..., list[Any]]:
    """The step of one model, or of many that lie along a first dimension of every operand and step one after the other,
    as a function of flat operands."""
    partitioned = custom_partitioning(functools.partial(_stepped, call, many, (), ()))
    partitioned.def_partition(functools.partial(_partition, call, many),
                              sharding_rule=functools.partial(_sharding_rule, call, many),
                              infer_sharding_from_operands=functools.partial(_infer_sharding, call, many))

    def step(*flat: Any) -> list[Any]:
        is_typed = "Explicit" in _kinds_of_axes(_operands(call, flat).lists[0][0])
        return list(_shard_mapped(call, many, flat) if is_typed else partitioned(*flat))

    return step


def _stepped(call: Call, many: bool, axes: Sequence[str], cut: Sequence[frozenset[str]], *flat: Any) -> list[Any]:
    def step(flat: Any) -> list[Any]:
        pieces = _operands(call, flat)
        return _flat_results(in_halves(call, pieces, axes, cut) if any(cut) else whole(call, pieces))

    return list(jax.lax.map(step, flat)) if many else step(flat)


def _kinds_of_axes(array: Any) -> set[str]:
    return {kind.name for kind in jax.typeof(array).sharding.mesh.axis_types}


# ---- Sharding that the compiler decides ------------------------------------------------------------------------------

def _partition(call: Call, many: bool, mesh: Any, given: Any, results: Any) -> Any:
    """For custom_partitioning: the mesh, the function of the pieces, the shardings of its results and operands."""
    models, layers = _specs(call, many, mesh, _operands(call, given).lists, _results(call, results)[1])
    small, lists = _shardings(mesh, models, layers)
    axes = [axis for axis in mesh.axis_names if not any(axis in model for model in models)]
    return (mesh, functools.partial(_stepped, call, many, axes, [frozenset().union(*layer) for layer in layers]),
            [small] * call.vectors + lists * sum(call.changed),
            tuple([small] * _small(call) + lists * len(call.changed)))


def _specs(call: Call, many: bool, mesh: Any, *lists: list[list[Any]]) -> tuple[Spec, list[Spec]]:
    """What models are cut along, () for one alone, and each layer: the finest cut that any of its arrays has, so that
    none of them is gathered."""
    def pieces(spec: Spec) -> int:
        return int(np.prod([mesh.shape[axis] for axes in spec for axis in axes], initial=1))

    def finest(arrays: Sequence[Any], dimensions: slice, taken: Spec) -> Spec:
        rank = len(arrays[0].shape[dimensions])
        specs = [_spec(array)[dimensions] for array in arrays if isinstance(array.sharding, NamedSharding)]
        fit = [spec for spec in specs
               if all(size % pieces((axes,)) == 0 for size, axes in zip(arrays[0].shape[dimensions], spec, strict=True))
               and not frozenset().union(*spec) & frozenset().union(*taken)]
        return max(fit, key=pieces, default=((),) * rank)

    layers = list(zip(*(arrays for part in lists for arrays in part), strict=True))
    models = [finest(arrays, slice(0, int(many)), ()) for arrays in layers]
    widest = max(models, key=pieces)
    return widest, [finest(arrays, slice(int(many), None), widest) for arrays in layers]


def _spec(array: Any) -> Spec:
    entries = [*array.sharding.spec, *[None] * (len(array.shape) - len(array.sharding.spec))]
    return tuple(() if entry is None else entry if isinstance(entry, tuple) else (entry,) for entry in entries)


def _shardings(mesh: Any, models: Spec, layers: list[Spec]) -> tuple[NamedSharding, list[NamedSharding]]:
    return (NamedSharding(mesh, PartitionSpec(*models)),
            [NamedSharding(mesh, PartitionSpec(*models, *layer)) for layer in layers])


def _sharding_rule(call: Call, many: bool, mesh: Any, value_types: Any, result_types: Any) -> Any:
    """For Shardy: the arrays of a layer are cut alike; what has one value a layer, or is no layer's, is not cut."""
    def factors(name: str, value: Any) -> list[str]:
        return ["models"] * many + [f"{name}d{dimension}" for dimension in range(int(many), len(value.shape))]

    small = [factors(f"small{at}", value) for at, value in enumerate(value_types[:_small(call)])]
    layers = [factors(f"layer{at}", value)
              for at, value in enumerate(value_types[_small(call):_small(call) + call.layers])]
    operands = small + layers * len(call.changed)
    results = small[len(small) - call.vectors:] + layers * sum(call.changed)
    rule = f"{', '.join(map(' '.join, operands))} -> {', '.join(map(' '.join, results))}"
    if not _RULES_NAME_UNCUT:
        return rule
    return rule, {"need_replication_factors": tuple(name for names in small for name in names[int(many):])}


def _infer_sharding(call: Call, many: bool, mesh: Any, given: Any, results: Any) -> Any:
    """For JAX without Shardy: what a layer's results are cut along, as far as its operands' sharding is known yet."""
    small, lists = _shardings(mesh, *_specs(call, many, mesh, _operands(call, given).lists))
    return [small] * call.vectors + lists * sum(call.changed)


# ---- Sharding that is part of the types ------------------------------------------------------------------------------

def _shard_mapped(call: Call, many: bool, flat: Any) -> Any:
    weights = [jax.typeof(weight) for weight in _operands(call, flat).lists[0]]
    mesh = weights[0].sharding.mesh
    models, layers = _specs(call, many, mesh, [weights])
    if any(models) and (0, 8, 0) <= jax.__version_info__ < (0, 9, 1):
        # In these versions that axis still counts as jax.vmap's own while this rule runs, and shard_map may not use it.
        raise refusal(_errors.COMBINATION, f"the models that jax.vmap maps lie along {models[0]} of a mesh with "
                                           f"Explicit axes: JAX {jax.__version__} cannot cut their step; 0.9.1 can")
    small, lists = _shardings(mesh, models, layers)
    shardings = [small] * _small(call) + lists * len(call.changed)
    results = [small] * call.vectors + lists * sum(call.changed)

    def step(*flat: Any) -> list[Any]:
        bound = jax.sharding.get_abstract_mesh().manual_axes  # not an axis that a surrounding vmap's models lie along
        axes = [axis for axis in bound if not any(axis in model for model in models)]
        return _stepped(call, many, axes, [frozenset().union(*layer) for layer in layers], *flat)

    mapped = jax.shard_map(step, mesh=mesh, check_vma=False, in_specs=tuple(sharding.spec for sharding in shardings),
                           out_specs=[sharding.spec for sharding in results])
    return mapped(*map(_reshard, flat, shardings))


def _reshard(array: Any, sharding: NamedSharding) -> Any:
    if not hasattr(jax.sharding, "reshard"):  # before JAX 0.7
        from jax.experimental.shard import reshard

        return reshard(array, sharding)
    return jax.sharding.reshard(array, sharding)


# ---- Operands and results as one list, and back ----------------------------------------------------------------------

def _small(call: Call) -> int:
    """How many operands come before the lists."""
    return 2 + call.has_count + call.vectors


def _flat(call: Call, operands: Operands) -> list[Any]:
    lists = [array for arrays in operands.lists for array in arrays]
    return [_fingerprint(call), operands.numbers, *operands.completed, *operands.vectors, *lists]


def _fingerprint(call: Call) -> Any:
    """Constants in the program that differ wherever calls do. JAX's persistent cache knows a program by its text, in
    which custom_partitioning leaves nothing of what is compiled: another call's step would be taken for this one's."""
    digest = hashlib.sha256(repr((VERSION, call)).encode()).digest()
    return jnp.stack([jax.lax.full((), int(part), jnp.uint32) for part in np.frombuffer(digest, "<u4")])


def _operands(call: Call, flat: Any) -> Operands:
    first_vector, first_list = 2 + call.has_count, _small(call)
    return Operands(flat[1], list(flat[2:first_vector]), list(flat[first_vector:first_list]),
                    _rows(call, flat[first_list:]))


def _flat_results(results: Results) -> list[Any]:
    return [*results[0], *(array for arrays in results[1] for array in arrays)]


def _results(call: Call, flat: Any) -> Results:
    return list(flat[:call.vectors]), _rows(call, flat[call.vectors:])


def _rows(call: Call, arrays: Any) -> list[list[Any]]:
    return [list(arrays[at:at + call.layers]) for at in range(0, len(arrays), call.layers)]
