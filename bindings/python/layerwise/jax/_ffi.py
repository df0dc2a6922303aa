"""The handlers as functions of JAX's arrays: a whole step, or its halves on the pieces of layers that a mesh cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _abi, _errors
from .._errors import refusal
from . import _handlers

HALVES = {"novograd_step": ("novograd_norms", "novograd_apply"), "larc_scale": ("larc_norms", "larc_scale_apply"),
          "larc_sgd_step": ("larc_norms", "larc_sgd_apply")}


class Call(NamedTuple):
    """What a step is compiled for.

    structs, traced  options' bytes and offsets, as _hyper.Options has them
    vectors          the number of vectors with one value a layer
    has_count        whether the handler takes the completed steps
    changed          for each list of arrays whether the step changes it
    lr_mult, wd_mult, skip_larc  one number a layer
    axes             of a surrounding jax.shard_map, along which layers are cut that vary over them
    """

    name: str
    structs: tuple[bytes, ...]
    traced: tuple[int, ...]
    vectors: int
    has_count: bool
    changed: tuple[bool, ...]
    lr_mult: tuple[float, ...]
    wd_mult: tuple[float, ...]
    skip_larc: tuple[float, ...]
    axes: tuple[str, ...]

    @property
    def layers(self) -> int:
        return len(self.lr_mult)

    @property
    def uses_largest_magnitude(self) -> bool:
        """Whether the sums are maxima: NovoGrad's infinity norm."""
        if self.name != "novograd_step":
            return False
        return bool(_abi.NovogradOptions.from_buffer_copy(self.structs[0]).norm == _abi.NORM["inf"])

    def attributes(self) -> dict[str, np.ndarray[Any, Any]]:
        structs = [np.frombuffer(struct, np.uint8) for struct in self.structs]
        return dict(options=structs[0], sgd=structs[1] if len(structs) > 1 else np.zeros(1, np.uint8),
                    traced=np.array([-1, *self.traced], np.int64), lr_mult=np.array(self.lr_mult, np.float64),
                    wd_mult=np.array(self.wd_mult, np.float64), skip_larc=np.array(self.skip_larc).astype(np.uint8))


class Operands(NamedTuple):
    """numbers float32 (3 + H,); completed [int32 (2,)] or []; vectors (layers,); lists of one array a layer."""

    numbers: Any
    completed: list[Any]
    vectors: list[Any]
    lists: list[list[Any]]


Results = tuple[list[Any], list[list[Any]]]  # the vectors and the changed lists, after the step


def whole(call: Call, operands: Operands) -> Results:
    """The step of layers that lie whole where it runs."""
    return _step(call, call.name, operands, [])


def in_halves(call: Call, operands: Operands, axes: Sequence[str], cut: Sequence[frozenset[str]]) -> Results:
    """The step of pieces of layers, inside a mapped computation, where the collectives of all `axes` may be used.

    cut  for each layer the axes that its pieces lie along: along the others every device has the same piece
    """
    if (0, 7, 0) <= jax.__version_info__ < (0, 7, 2) and not jax.config.read("jax_enable_x64"):
        # They lower the addition in a psum of float64 to a function that returns float32, which does not compile.
        raise refusal(_errors.COMBINATION, f"layers are cut over a mesh, whose sums are float64: JAX {jax.__version__} "
                                           "does not compile those while jax_enable_x64 is off; another version does")
    norms, apply = HALVES[call.name]
    counted = jnp.ones(call.layers, bool)  # one device for each piece, and the same sum on every device
    for axis in axes:
        counted &= (jax.lax.axis_index(axis) == 0) | np.array([axis in layer for layer in cut])
    # JAX 0.8.2 and 0.8.3 would make float32 of a ShapeDtypeStruct's float64 while jax_enable_x64 is off.
    one_a_layer = jax.core.ShapedArray((call.layers,), np.dtype(np.float64))
    sums = _ffi_call(call, norms, [counted.astype(jnp.uint8), *operands.lists[0], *operands.lists[1]],
                     [one_a_layer] * (1 if norms == "novograd_norms" else 2), {})
    together = jax.lax.pmax if call.uses_largest_magnitude else jax.lax.psum
    return _step(call, apply, operands, [together(values, tuple(axes)) for values in sums])


def varying_axes(array: Any) -> frozenset[str]:
    """The axes of a mesh along which jax.shard_map takes an array to differ."""
    aval = jax.typeof(array)
    return frozenset(aval.mat.varying if hasattr(aval, "mat") else getattr(aval, "vma", ()))


def _step(call: Call, target: str, operands: Operands, sums: list[Any]) -> Results:
    given = [operands.numbers, *operands.completed, *sums]
    results: list[Any] = []
    aliases: dict[int, int] = {}
    parts = [(operands.vectors, True), *zip(operands.lists, call.changed, strict=True)]
    for arrays, is_changed in parts:
        for array in arrays:
            if is_changed:
                aliases[len(given)] = len(results)
                results.append(jax.ShapeDtypeStruct(array.shape, array.dtype))
            given.append(array)
    returned = iter(_ffi_call(call, target, given, results, aliases))
    new = [[next(returned) for _ in arrays] for arrays, is_changed in parts if is_changed]
    new[0] = [_the_same(vector, call.axes) for vector in new[0]]
    return new[0], new[1:]


def _ffi_call(call: Call, target: str, given: list[Any], results: list[Any], aliases: dict[int, int]) -> list[Any]:
    handler = jax.ffi.ffi_call(_handlers.target(target), results, vmap_method="sequential",
                               input_output_aliases=aliases)
    returned = handler(*given, **call.attributes())
    # What an ffi_call returns counts in some versions of JAX as the same on all devices, whatever went in.
    varying = frozenset().union(*map(varying_axes, given))
    return [_vary(array, tuple(sorted(varying - varying_axes(array)))) for array in returned]


def _the_same(array: Any, axes: tuple[str, ...]) -> Any:
    """What is the same along these axes, as JAX's check is to know."""
    axes = tuple(axis for axis in axes if axis in varying_axes(array))
    return jax.lax.pmax(array, axes) if axes else array


def _vary(array: Any, axes: tuple[str, ...]) -> Any:
    if not axes:
        return array
    return jax.lax.pcast(array, axes, to="varying") if hasattr(jax.lax, "pcast") else jax.lax.pvary(array, axes)
