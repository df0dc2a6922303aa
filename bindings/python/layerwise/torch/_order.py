"""Parameters as the library sees them: elements one after the other in memory, in whatever order of dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ._shards import are_cut_alike, is_dtensor, local, mesh_of, refuse_piece

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float64: "float64"}
PARAMETER_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
DEVICE_TYPES = ("cpu", "cuda")


def check_parameter(parameter: Tensor, name: str) -> None:
    """Raises TypeError or ValueError for a parameter, or a gradient of it, that no plan can hold."""
    refuse_piece(parameter, name)
    _check_kind(parameter, name)
    if parameter.grad is not None:
        _check_kind(parameter.grad, f"the gradient of {name}")
        _check_cut(parameter, parameter.grad, name)
    if not is_dense(local(parameter)):
        raise ValueError(f"{name} has shape {tuple(parameter.shape)} and strides {parameter.stride()}: its elements "
                         "must fill their memory without gaps or overlap")


def _check_cut(parameter: Any, grad: Any, name: str) -> None:
    if not are_cut_alike(parameter, grad):
        cuts = [str(getattr(each, "placements", "not at all")) for each in (parameter, grad)]
        raise TypeError(f"{name} is cut over its ranks by {cuts[0]} and its gradient by {cuts[1]}: they must be cut "
                        "alike")


def _check_kind(tensor: Tensor, what: str) -> None:
    if tensor.layout is not torch.strided or tensor.is_nested:
        raise TypeError(f"{what} is {'nested' if tensor.is_nested else tensor.layout}: layerwise takes dense tensors; "
                        "sparse ones have no layer to normalize by")
    if tensor.dtype not in PARAMETER_DTYPES:
        raise TypeError(f"{what} is {tensor.dtype}: it must be float32, bfloat16 or float16; model.float(), before the "
                        "optimizer is made, makes a model float32")
    if tensor.device.type not in DEVICE_TYPES:
        raise ValueError(f"{what} lies on {tensor.device}: layerwise has backends for cpu and cuda")
    local(tensor, what)


def can_be_held(parameter: Tensor) -> bool:
    """Whether a plan can hold the parameter, whatever its gradient is."""
    if is_lazy(parameter):
        return False
    try:
        refuse_piece(parameter, "")
        _check_kind(parameter, "")
    except (TypeError, ValueError):
        return False
    return is_dense(local(parameter))


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill a piece of memory, each once, in some order of the dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
                               if size != 1):
        if stride != expected:
            return False
        expected *= size
    return True


def same_order(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors of one shape keep their elements in the same order: strides of single elements are idle."""
    return first.stride() == second.stride() or all(
        a == b for a, b, size in zip(first.stride(), second.stride(), first.shape, strict=True) if size != 1)


def ordered_like(tensor: Tensor, parameter: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A copy in the parameter's order, on its device."""
    copy = torch.empty_like(parameter, dtype=dtype or tensor.dtype, requires_grad=False)
    return copy.copy_(tensor)


def in_shared_memory(tensor: Tensor) -> bool:
    """Whether other processes may have the tensor too; torch says so of everything on CUDA."""
    if is_dtensor(tensor):
        return in_shared_memory(local(tensor))
    is_shared: Callable[[], bool] = tensor.is_shared
    return tensor.device.type == "cpu" and tensor.layout is torch.strided and is_shared()


def can_be_packed(parameter: Tensor) -> bool:
    """Whether `pack` moves the parameter: one that a plan can hold, and that is its own local tensor."""
    return can_be_held(parameter) and local(parameter) is parameter


def pack(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Moves the parameters into one buffer for each device and dtype; their data become views of it.

    Those that cannot be packed, and those in shared memory, stay where they are. Strides are kept. Every parameter
    begins at a multiple of 64 bytes.
    Returns the buffers, one-dimensional.
    """
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in filter(can_be_packed, parameters):
        if in_shared_memory(parameter):
            continue
        kinds.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return [_pack_one(members) for members in kinds.values()]


def _pack_one(members: list[Tensor]) -> Tensor:
    step = 64 // members[0].element_size()
    starts, end = [], 0
    for parameter in members:
        starts.append(end)
        end += -(-parameter.numel() // step) * step
    buffer = torch.zeros(end, dtype=members[0].dtype, device=members[0].device)
    for parameter, start in zip(members, starts, strict=True):
        view = buffer.as_strided(parameter.shape, parameter.stride(), start)
        view.copy_(parameter.detach())
        parameter.data = view
    return buffer
