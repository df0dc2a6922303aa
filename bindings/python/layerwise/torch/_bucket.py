"""A bucket: the parameters of one group that share device and dtypes, served by one plan in one call."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import STAT_COUNT, Plan
from ._memory import memory_of
from ._order import DTYPES, ordered_like, same_order
from ._steps import StepCounts

_numbers = itertools.count()
_buckets: weakref.WeakValueDictionary[int, Bucket] = weakref.WeakValueDictionary()


def bucket_of(handle: int) -> Bucket:
    """The bucket that an operator's first argument names. Raises RuntimeError where its optimizer is gone."""
    bucket = _buckets.get(handle)
    if bucket is None:
        raise RuntimeError(f"layerwise: bucket {handle} is gone: its optimizer was deleted, or its parameters changed, "
                           "after this step was compiled or captured")
    return bucket


def refuse_capture(device: torch.device) -> None:
    """Raises RuntimeError where a CUDA graph is captured."""
    if memory_of(device).capturing():
        raise RuntimeError("a plan cannot be made or changed while a CUDA graph is captured: run one step of this "
                           "optimizer with the same gradients before the capture")


class Bucket:
    """Scattered layers and what belongs to them from step to step.

    handle        the number by which operators name this bucket
    sizes         elements of each layer
    positions     each layer's place in its parameter group
    vectors       what has one value a layer, by the name of the state it is: "step", int64, the completed steps, and
                  the second moments; each (layers,), on the device. The state of a parameter holds views of them
    layer_stats   float64 (layers, 6), NaN until a layer has taken part
    multipliers   lr_mult, wd_mult and skip_larc by name, one value a layer or None; as positions set before `call`
    is_looked_at  whether the parameters' state was compared with the vectors since the last `call`. A compiled step
                  does not do it: then `call` asks `follow` to, which gets the bucket and the vectors that are written
    """

    def __init__(self, parameters: Sequence[Tensor], grad_dtype: torch.dtype, moment_dtype: torch.dtype,
                 per_layer: Sequence[str], per_layer_dtype: torch.dtype, depends_on_step: bool,
                 threads: int) -> None:
        first = parameters[0]
        self.device = first.device
        self.sizes = [parameter.numel() for parameter in parameters]
        self.positions: list[int] = []
        layers = len(parameters)
        self.vectors = {
            "step": torch.zeros(layers, dtype=torch.int64, device=self.device),
            **{name: torch.zeros(layers, dtype=per_layer_dtype, device=self.device) for name in per_layer}}
        self._steps = StepCounts(self.vectors["step"], self.device.type != "cpu") if depends_on_step else None
        self.layer_stats = torch.full((layers, STAT_COUNT), torch.nan, dtype=torch.float64, device=self.device)
        self.multipliers: dict[str, list[float] | None] = {}
        self.is_looked_at = False
        self.follow: weakref.WeakMethod[Callable[[Bucket, Mapping[str, Tensor]], None]] | None = None
        self._applied: dict[str, list[float] | None] = {}
        self._dtypes = {"weights": first.dtype, "grads": grad_dtype}
        self._moment_dtype = moment_dtype
        self._second_moment_dtype = DTYPES[per_layer_dtype]
        self._threads = threads
        self._memories = [memory_of(self.device)]  # one for each call of a step: it keeps that call's tables
        self._plan: Plan | None = None
        self._plan_threads = 0
        self._addresses: list[int] = []
        self.handle = next(_numbers)
        _buckets[self.handle] = self

    def capturing(self) -> bool:
        """Whether a CUDA graph is being captured on the stream that a step would run on."""
        return self._memories[0].capturing()

    def call(self, method: str, layers: Sequence[int], buffers: Mapping[str, Sequence[Tensor]],
             steps: Tensor | None = None, **arguments: Any) -> None:
        """Runs one step of the plan; layers that differ in their number of steps, where that matters, one call each.

        method     a method of `Plan`
        layers     which layers take part
        buffers    the method's buffers by name, one tensor for each of these layers. Those not in the order of the
                   weights are copied: gradients only; and back where the method, larc_scale, writes them
        steps      completed steps of every layer of the bucket, int64 on the device: 1 is added for those that take
                   part, unless found_inf is set. None: the method takes no step
        arguments  the method's other arguments; tensors lie on the bucket's device
        """
        if not self.is_looked_at and self.follow is not None and (follow := self.follow()) is not None:
            given = {**arguments, "step": steps}
            follow(self, {name: given[name] for name in self.vectors})
        self.is_looked_at = False
        weights, grads = buffers["weights"], buffers["grads"]
        ordered = [grad if same_order(grad, weight) else ordered_like(grad, weight)
                   for grad, weight in zip(grads, weights, strict=True)]
        rows = [self._row(layers, ordered if name == "grads" else tensors, weights, name)
                for name, tensors in buffers.items()]
        self._check_memory(rows[0])
        values = {name: self._memories[0].array(value) if isinstance(value, Tensor) else value
                  for name, value in arguments.items()}
        run = getattr(self._ready_plan(), method)
        parts = [layers] if steps is None or self._steps is None else self._steps.parts(layers, steps, self.capturing())
        self._memories += [memory_of(self.device) for _ in parts[len(self._memories):]]
        for part, memory in zip(parts, self._memories, strict=False):
            taken = rows if len(parts) == 1 else _only(part, rows)
            tables = dict(zip(buffers, memory.tables(taken), strict=True))
            if steps is not None:
                values["step"] = self._memories[0].array(steps[part[0]])
            run(**tables, **values, stream=memory.stream())
        if steps is not None:
            self._advance(steps, layers, arguments.get("found_inf"))
        if method == "larc_scale":
            for grad, scaled in zip(grads, ordered, strict=True):
                if scaled is not grad:
                    grad.copy_(scaled)

    def _advance(self, steps: Tensor, layers: Sequence[int], found_inf: Tensor | None) -> None:
        more: Any = 1 if found_inf is None else found_inf.reshape(()).eq(0)
        if len(layers) == len(self.sizes):
            steps.add_(more)
        else:
            every = steps.unbind()
            torch._foreach_add_([every[layer] for layer in layers], more)
        if self._steps is not None:
            self._steps.advanced(layers, found_inf is None, self.capturing())

    def _ready_plan(self) -> Plan:
        threads = self._threads or self._memories[0].threads()
        if self._plan is not None and threads != self._plan_threads:
            self._plan.close()
            self._plan = None
        if self._plan is None or self._applied != self.multipliers:
            refuse_capture(self.device)
            if self._plan is None:
                self._plan_threads = threads
                self._plan = Plan(
                    self.sizes, device=str(self.device), layout="scattered", threads=threads,
                    weights_dtype=self._dtypes["weights"], grads_dtype=self._dtypes["grads"],
                    first_moment_dtype=self._moment_dtype, second_moment_dtype=self._second_moment_dtype)
            self._memories[0].wait()  # set_layers is for a plan that is at rest, and its copy may outlive the call
            self._plan.set_layers(**self.multipliers)  # type: ignore[arg-type]
            self._memories[0].wait()
            self._applied = dict(self.multipliers)
        return self._plan

    def _row(self, layers: Sequence[int], tensors: Sequence[Tensor], weights: Sequence[Tensor], name: str) -> list[int]:
        dtype = self._dtypes.get(name, self._moment_dtype)
        row = [0] * len(self.sizes)
        for layer, tensor, weight in zip(layers, tensors, weights, strict=True):
            if (tensor.dtype is not dtype or tensor.numel() != self.sizes[layer] or tensor.device != self.device
                    or not same_order(tensor, weight)):
                raise ValueError(
                    f"{name} of layer {layer}: {tensor.numel()} elements of {tensor.dtype} on {tensor.device}, "
                    f"strides {tensor.stride()}; the plan was made for {self.sizes[layer]} of {dtype} on "
                    f"{self.device}, strides {weight.stride()}")
            row[layer] = tensor.data_ptr()
        return row

    def _check_memory(self, addresses: list[int]) -> None:
        if addresses == self._addresses:
            return
        taken = [address for address in addresses if address]
        if len(set(taken)) != len(taken):
            twice = next(address for address in taken if taken.count(address) > 1)
            both = [layer for layer, address in enumerate(addresses) if address == twice]
            raise ValueError(f"layers {both[0]} and {both[1]} are the same memory in two parameters: share the "
                             "parameter itself instead, so that it is updated once")
        self._addresses = addresses


def _only(layers: Sequence[int], rows: list[list[int]]) -> list[list[int]]:
    """The rows of addresses with these layers alone."""
    kept = set(layers)
    return [[address if layer in kept else 0 for layer, address in enumerate(row)] for row in rows]
