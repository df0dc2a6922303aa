"""The steps as PyTorch operators, for torch.compile and CUDA graphs: `torch.ops.layerwise`.

Each runs one bucket: `bucket` is its handle, `layers` says which of its layers take part, and the lists of tensors have
one for each of them: `steps` the numbers of completed steps, int64. Every other tensor lies on the bucket's device.
lr_mult, wd_mult and skip_larc have one number for each of the layers, one for all, or none. `numbers`, or in a traced
step `traced` on the host, has the hyper-parameters that are numbers, `choices` the flags, 0 or 1, and the choices, as
layerwise.h numbers them, in the order of the tables below; `lr_tensor`, a float32 tensor of one element, takes the
place of lr where it is given. What else they take is explained at the methods of `layerwise.Plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from .. import _abi
from ._bucket import Multipliers, bucket_of

# torch reads the annotations: "X | None" and list[X] are not among those it knows in every version.  ruff: noqa: UP045

class Names(NamedTuple):
    """The options of an operator, in the order of `numbers` or `traced`, and of `choices`."""

    numbers: tuple[str, ...]
    choices: tuple[str, ...]


def _names(*structs: type[_abi.Struct]) -> Names:
    kinds = {name: option.kind for struct in structs for name, option in struct.options.items()
             if name not in ("grad_scale", "advance_step", "rounding")}
    return Names(tuple(name for name, kind in kinds.items() if kind == "number"),
                 tuple(name for name, kind in kinds.items() if kind in ("flag", "selector")))


NOVOGRAD, LARC = _names(_abi.NovogradOptions), _names(_abi.LarcOptions)
LARC_SGD = _names(_abi.LarcOptions, _abi.SgdOptions)

# The number that an operator is given for a flag or a choice, and back. A choice that may be off is a bool in a group.
_CODES: dict[str, dict[Any, int]] = {
    name: dict(option.choices) | ({False: 0, True: 1} if "off" in option.choices or not option.choices else {})
    for struct in (_abi.NovogradOptions, _abi.LarcOptions, _abi.SgdOptions)
    for name, option in struct.options.items() if option.kind in ("flag", "selector")}
_CHOICES = {name: {code: choice for choice, code in codes.items()} for name, codes in _CODES.items()}


def split(options: dict[str, Any], names: Names) -> dict[str, Any]:
    """The options as an operator takes them.

    In a traced step the numbers are a tensor which the graph computes: a product of a tensor and a number is what the
    compiler takes a changing number into, and it makes no graph for every value that a scheduler sets. Not where lr
    lies on a GPU: such a step is to be captured, and what lies on the host cannot be.
    """
    lr = options["lr"]
    numbers = [0.0 if isinstance(options[name], Tensor) else options[name] for name in names.numbers]
    choices = [_CODES[name][options[name]] for name in names.choices]
    if not torch.compiler.is_compiling() or (isinstance(lr, Tensor) and lr.is_cuda):
        return {"numbers": [float(number) for number in numbers], "traced": None, "choices": choices}
    one = torch.ones((), dtype=torch.float64, device="cpu")
    return {"numbers": [], "traced": torch.stack([one * number for number in numbers]), "choices": choices}


def _by_name(names: Names, numbers: Sequence[float], traced: Tensor | None, choices: Sequence[int],
             lr_tensor: Tensor | None) -> dict[str, Any]:
    """-0 is 0: groups with either share a call."""
    found = numbers if traced is None else traced.tolist()
    values: dict[str, Any] = {name: number or 0.0 for name, number in zip(names.numbers, found, strict=True)}
    values.update({name: _CHOICES[name][code] for name, code in zip(names.choices, choices, strict=True)})
    return values if lr_tensor is None else {**values, "lr": lr_tensor}


_plain: dict[Any, tuple[Callable[..., None], tuple[str, ...]]] = {}  # the operators' functions, and what they write


def _operator(name: str, *written: str) -> Callable[[Callable[..., None]], Any]:
    def register(function: Callable[..., None]) -> Any:
        operator = torch.library.custom_op(f"layerwise::{name}", mutates_args=written)(function)
        operator.register_fake(_writes_and_returns_nothing)
        _plain[operator] = function, written
        return operator
    return register


def _writes_and_returns_nothing(*_: Any, **__: Any) -> None:
    """What tracing needs to know of all three."""


def run(operator: Any, **arguments: Any) -> None:
    """Calls the operator; or its function, where nothing is there that would see the difference: the way through
    torch's dispatcher is most of a small step's time."""
    if is_watched():
        operator(**arguments)
        return
    function, written = _plain[operator]
    for name in written:
        tell_autograd(arguments[name])  # before the call, which remembers the versions of what it counts
    function(**arguments)


def tell_autograd(tensors: Tensor | Sequence[Tensor]) -> None:
    """That they are written. Older PyTorch takes one tensor at a time."""
    try:
        increment_version(tensors)
    except (RuntimeError, TypeError):
        for tensor in tensors:
            increment_version(tensor)


def is_watched() -> bool:
    """Whether a compiler, a tracer, a profiler, a mode or a transform of torch's wants to see each operator."""
    return (torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0
            or torch._C._len_torch_function_stack() > 0 or torch._C._get_tracing_state() is not None
            or torch._C._functorch.peek_interpreter_stack() is not None or torch._C._autograd._profiler_enabled())


@_operator("novograd_step", "weights", "first_moment", "second_moment", "max_second_moment", "steps", "layer_stats",
           "nonfinite_layers")
def novograd_step(
        bucket: int, layers: Sequence[int], weights: Sequence[Tensor], grads: Sequence[Tensor],
        first_moment: Sequence[Tensor], second_moment: Sequence[Tensor], max_second_moment: Sequence[Tensor],
        steps: Sequence[Tensor], layer_stats: Tensor, nonfinite_layers: Tensor, grad_scale: Tensor | None,
        found_inf: Tensor | None, lr_tensor: Tensor | None, lr_mult: Sequence[float], wd_mult: Sequence[float],
        skip_larc: Sequence[float], numbers: Sequence[float], traced: Tensor | None, choices: Sequence[int]) -> None:
    values = _by_name(NOVOGRAD, numbers, traced, choices, lr_tensor)
    bucket_of(bucket).call(
        "novograd_step", layers, {"weights": weights, "grads": grads, "first_moment": first_moment},
        Multipliers(lr_mult, wd_mult, skip_larc), steps,
        {"second_moment": second_moment, "max_second_moment": max_second_moment if values["amsgrad"] else None},
        layer_stats=layer_stats, nonfinite_layers=nonfinite_layers, grad_scale=grad_scale, found_inf=found_inf,
        **values)


@_operator("larc_sgd_step", "weights", "momentum_buffer", "steps", "layer_stats", "nonfinite_layers")
def larc_sgd_step(
        bucket: int, layers: Sequence[int], weights: Sequence[Tensor], grads: Sequence[Tensor],
        momentum_buffer: Sequence[Tensor], steps: Sequence[Tensor], layer_stats: Tensor, nonfinite_layers: Tensor,
        grad_scale: Tensor | None, found_inf: Tensor | None, lr_tensor: Tensor | None, lr_mult: Sequence[float],
        wd_mult: Sequence[float], skip_larc: Sequence[float], numbers: Sequence[float], traced: Tensor | None,
        choices: Sequence[int]) -> None:
    values = _by_name(LARC_SGD, numbers, traced, choices, lr_tensor)
    buffers: dict[str, Sequence[Tensor]] = {"weights": weights, "grads": grads}
    if values["momentum"] != 0:
        buffers["momentum_buffer"] = momentum_buffer
    else:
        values["momentum_buffer"] = None
    bucket_of(bucket).call(
        "larc_sgd_step", layers, buffers, Multipliers(lr_mult, wd_mult, skip_larc), steps, layer_stats=layer_stats,
        nonfinite_layers=nonfinite_layers, grad_scale=grad_scale, found_inf=found_inf, **values)


@_operator("larc_scale", "grads", "layer_stats", "nonfinite_layers")
def larc_scale(
        bucket: int, layers: Sequence[int], weights: Sequence[Tensor], grads: Sequence[Tensor], layer_stats: Tensor,
        nonfinite_layers: Tensor, grad_scale: Tensor | None, found_inf: Tensor | None, lr_tensor: Tensor | None,
        lr_mult: Sequence[float], wd_mult: Sequence[float], skip_larc: Sequence[float], numbers: Sequence[float],
        traced: Tensor | None, choices: Sequence[int]) -> None:
    bucket_of(bucket).call(
        "larc_scale", layers, {"weights": weights, "grads": grads}, Multipliers(lr_mult, wd_mult, skip_larc),
        layer_stats=layer_stats, nonfinite_layers=nonfinite_layers, grad_scale=grad_scale, found_inf=found_inf,
        **_by_name(LARC, numbers, traced, choices, lr_tensor))
