"""A bucket: parameters that share device, dtypes and, as a rule, options, served by one plan in one call."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import STAT_COUNT
from ._memory import HostMemory, RepeatablePlan, memory_of
from ._order import DTYPES, ordered_like, same_order
from ._repeatable import OnDevice, OnHost
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


class Multipliers(NamedTuple):
    """What multiplies each layer's hyper-parameters: a number for each layer of a call, one for all, or none."""

    lr_mult: Sequence[float]
    wd_mult: Sequence[float]
    skip_larc: Sequence[float]


class Shard(NamedTuple):
    """What layers are pieces of: elements of each whole layer, and whether this rank counts its piece."""

    layer_sizes: list[int]
    counted: list[bool]


class Bucket:
    """Scattered layers and what belongs to them from step to step. Their state is not here: it comes with each call.

    handle        the number by which operators name this bucket
    sizes         elements of each layer, or of this rank's piece of it
    layer_stats   float64 (layers, 6), NaN until a layer has taken part
    sums          of pieces: float64 (2, layers), the gradients' sums and the weights'. `sum_up` writes this rank's, and
                  a call takes what is there then: the sums of all ranks
    """

    def __init__(self, parameters: Sequence[Tensor], grad_dtype: torch.dtype, moment_dtype: torch.dtype,
                 per_layer_dtype: torch.dtype, depends_on_step: bool, threads: int, shard: Shard | None = None) -> None:
        first = parameters[0]
        self.device = first.device
        self.sizes = [parameter.numel() for parameter in parameters]
        layers = len(parameters)
        self._all_layers = list(range(layers))
        self.layer_stats = torch.full((layers, STAT_COUNT), torch.nan, dtype=torch.float64, device=self.device)
        self._shard = shard
        if shard is not None:
            self.sums = torch.zeros((2, layers), dtype=torch.float64, device=self.device)
            self._mask = torch.zeros(layers, dtype=torch.uint8, device=self.device)
            self._summing = memory_of(self.device)
        self._steps = StepCounts(layers, self.device.type != "cpu") if depends_on_step else None
        self._vectors: dict[str, tuple[Tensor, tuple[Tensor, ...]]] = {}  # one value a layer, whole and apart
        self._multipliers: dict[str, list[float] | None] = dict.fromkeys(Multipliers._fields)
        self._applied: dict[str, list[float] | None] = {}
        self._dtypes = {"weights": first.dtype, "grads": grad_dtype}
        self._moment_dtype = moment_dtype
        self._per_layer_dtype = per_layer_dtype
        self._threads = threads
        self._memories = [memory_of(self.device)]  # one for each call of a step: it keeps that call's tables
        self._plan: RepeatablePlan | None = None
        self._plan_threads = 0
        self._addresses: list[int] = []
        self._repeatable: OnHost | OnDevice | None = None
        self._kind: tuple[Any, ...] = ()  # of the last call
        self.handle = next(_numbers)
        _buckets[self.handle] = self

    def capturing(self) -> bool:
        """Whether a CUDA graph is being captured on the stream that a step would run on."""
        return self._memories[0].capturing()

    def call(self, method: str, layers: Sequence[int], buffers: Mapping[str, Sequence[Tensor]],
             multipliers: Multipliers, steps: Sequence[Tensor] | None = None,
             per_layer: Mapping[str, Sequence[Tensor] | None] | None = None, **arguments: Any) -> None:
        """Runs one step of the plan; layers that differ in their number of steps, where that matters, one call each.

        method     a method of `Plan`
        layers     which layers take part
        buffers    the method's buffers by name, one tensor for each of these layers. Those not in the order of the
                   weights are copied: gradients only; and back where the method, larc_scale, writes them
        steps      the layers' numbers of completed steps, int64 scalars on the device: 1 is added, unless found_inf is
                   set. None: the method takes no step
        per_layer  the method's arrays of one value a layer by name, a scalar on the device for each of these layers
        arguments  the method's other arguments; tensors lie on the bucket's device
        """
        weights, grads = buffers["weights"], buffers["grads"]
        ordered = _in_order_of(weights, grads)
        rows = [self._row(layers, *((ordered, ordered) if name == "grads" else (tensors, weights)), name)
                for name, tensors in buffers.items()]
        self._check_memory(rows[0])
        self._multiply(layers, multipliers)
        self._repeatable = None
        plan = self._ready_plan()
        parts = [layers] if steps is None or self._steps is None else self._steps.parts(layers, steps, self.capturing())
        gathered = {name: None if tensors is None else self._gather(name, layers, tensors)
                    for name, tensors in (per_layer or {}).items()}
        if self._shard is not None:
            arguments = {**arguments, **self._given_sums(method)}
        step_of = dict(zip(layers, steps or (), strict=False))
        self._memories += [memory_of(self.device) for _ in parts[len(self._memories):]]
        for part, memory in zip(parts, self._memories, strict=False):
            taken = rows if len(parts) == 1 else _only(part, rows)
            if self._shard is not None:
                self._mask_all_but(part)
            # Where nothing depends on t it is not told: the layers of a call may be in steps of their own.
            memory.run(plan, method, dict(zip(buffers, taken, strict=True)), {**arguments, **gathered},
                       step_of[part[0]] if self._steps is not None else None)
        for name, tensors in (per_layer or {}).items():
            if tensors is not None:
                self._scatter(name, layers, tensors)
        if len(parts) == 1:
            self._repeatable = self._to_repeat(
                method, layers, dict(zip(buffers, rows, strict=True)), gathered, arguments, steps is not None)
        if steps is not None:
            self._advance(layers, steps, arguments.get("found_inf"))
        if method == "larc_scale":
            for grad, scaled in zip(grads, ordered, strict=True):
                if scaled is not grad:
                    grad.copy_(scaled)

    @property
    def state_dtypes(self) -> dict[str, torch.dtype]:
        return {"first_moment_dtype": self._moment_dtype, "second_moment_dtype": self._per_layer_dtype}

    def sum_up(self, layers: Sequence[int], weights: Sequence[Tensor], grads: Sequence[Tensor], of_weights: bool,
               norm: str) -> None:
        """Writes the sums of these layers' pieces, of weights where LARC needs them, and +0 for all others."""
        ordered = _in_order_of(weights, grads)
        rows = {"grads": self._row(layers, ordered, ordered, "grads"),
                "weights": self._row(layers, weights, weights, "weights")}
        self._check_memory(rows["weights"])  # a rank that refuses it after the others have the sums is too late
        if not of_weights:
            del rows["weights"]
        self._mask_all_but(layers)
        self._summing.call(self._ready_plan(), "partial_norms", rows,
                           {"grad_sums": self.sums[0], "weight_sums": self.sums[1] if of_weights else None,
                            "layer_mask": self._mask, "norm": norm})

    def _given_sums(self, method: str) -> dict[str, Tensor]:
        names = ("grad_sums",) if method == "novograd_step" else ("grad_sums", "weight_sums")
        return {"layer_mask": self._mask, **dict(zip(names, self.sums, strict=False))}

    def _mask_all_but(self, layers: Sequence[int]) -> None:
        """An empty piece has no address that would say whether its layer takes part."""
        self._mask.zero_()
        self._mask[list(layers)] = 1

    def _to_repeat(self, method: str, layers: Sequence[int], rows: dict[str, list[int]],
                   gathered: Mapping[str, Tensor | None], arguments: Mapping[str, Any],
                   has_step: bool) -> OnHost | OnDevice | None:
        """The call that was just made, where the one before was like it: another may follow."""
        memory, plan = self._memories[0], self._plan
        kind, self._kind = self._kind, (plan, method, list(layers))
        if kind != self._kind or memory.capturing():
            return None
        if isinstance(memory, HostMemory):
            vectors = [whole.numpy() for whole in gathered.values() if whole is not None]
            return None if memory.repeated is None else OnHost(memory.repeated, layers, vectors, has_step,
                                                               self._steps is not None)
        if self._steps is not None:
            return None
        apart = {name: None if whole is None else self._vectors[name] for name, whole in gathered.items()}
        return OnDevice(memory, plan, method, layers, rows, apart, arguments, has_step)

    def repeatable(self) -> OnHost | OnDevice | None:
        """The last call, where it can be made again."""
        return self._repeatable

    def can_repeat(self, made: OnHost | OnDevice) -> bool:
        """Whether it is still the last call, and the plan has as many threads as one would have now."""
        memory = self._memories[0]
        return (made is self._repeatable and self._plan_threads == (self._threads or memory.threads())
                and not memory.capturing())

    def _gather(self, name: str, layers: Sequence[int], tensors: Sequence[Tensor]) -> Tensor:
        if name not in self._vectors:
            whole = torch.zeros(len(self.sizes), dtype=self._per_layer_dtype, device=self.device)
            self._vectors[name] = whole, whole.unbind()
        whole, apart = self._vectors[name]
        if layers == self._all_layers:  # else some are missing, or in another order, as where groups were reordered
            torch.stack(list(tensors), out=whole)
        else:
            torch._foreach_copy_([apart[layer] for layer in layers], list(tensors))
        return whole

    def _scatter(self, name: str, layers: Sequence[int], tensors: Sequence[Tensor]) -> None:
        _, apart = self._vectors[name]
        torch._foreach_copy_(list(tensors), [apart[layer] for layer in layers])

    def _advance(self, layers: Sequence[int], steps: Sequence[Tensor], found_inf: Tensor | None) -> None:
        torch._foreach_add_(list(steps), 1 if found_inf is None else found_inf.reshape(()).eq(0))
        if self._steps is not None:
            self._steps.advanced(layers, steps, found_inf is None, self.capturing())

    def _multiply(self, layers: Sequence[int], multipliers: Multipliers) -> None:
        """Those of layers that are not in the call stay what they are."""
        for name, given in zip(Multipliers._fields, multipliers, strict=True):
            known = self._multipliers[name]
            if not given and known is None:
                continue
            neutral = 0.0 if name == "skip_larc" else 1.0
            values = list(known or [neutral] * len(self.sizes))
            for index, layer in enumerate(layers):
                values[layer] = given[index if len(given) > 1 else 0] if given else neutral
            self._multipliers[name] = values if any(value != neutral for value in values) else None

    def _ready_plan(self) -> RepeatablePlan:
        threads = self._threads or self._memories[0].threads()
        if self._plan is not None and threads != self._plan_threads:
            self._plan.close()
            self._plan = None
        if self._plan is None or self._applied != self._multipliers:
            refuse_capture(self.device)
            if self._plan is None:
                self._plan_threads = threads
                self._plan = RepeatablePlan(
                    self.sizes, device=str(self.device), layout="scattered", threads=threads,
                    weights_dtype=self._dtypes["weights"], grads_dtype=self._dtypes["grads"],
                    first_moment_dtype=self._moment_dtype, second_moment_dtype=DTYPES[self._per_layer_dtype])
                if self._shard is not None:
                    self._plan.set_shard(self._shard.layer_sizes, counted=self._shard.counted)
            self._memories[0].wait()  # set_layers is for a plan that is at rest, and its copy may outlive the call
            skips = self._multipliers["skip_larc"]
            self._plan.set_layers(lr_mult=self._multipliers["lr_mult"], wd_mult=self._multipliers["wd_mult"],
                                  skip_larc=None if skips is None else [bool(skip) for skip in skips])
            self._memories[0].wait()
            self._applied = dict(self._multipliers)
        return self._plan

    def _row(self, layers: Sequence[int], tensors: Sequence[Tensor], like: Sequence[Tensor], name: str) -> list[int]:
        """The tensors' addresses; each must be in the order of its own in `like`."""
        dtype, device = self._dtypes.get(name, self._moment_dtype), self.device
        row = [0] * len(self.sizes)
        for layer, tensor, other in zip(layers, tensors, like, strict=True):
            if (tensor.dtype is not dtype or tensor.numel() != self.sizes[layer] or tensor.device != device
                    or not (tensor is other or same_order(tensor, other))):
                raise ValueError(
                    f"{name} of layer {layer}: {tensor.numel()} elements of {tensor.dtype} on {tensor.device}, "
                    f"strides {tensor.stride()}; the plan was made for {self.sizes[layer]} of {dtype} on "
                    f"{device}, strides {other.stride()}")
            row[layer] = tensor.data_ptr()
            if row[layer] == 0 and self.sizes[layer]:
                raise ValueError(f"{name} of layer {layer} has no memory: its storage was freed")
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


def _in_order_of(weights: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Tensor]:
    """The gradients, copied where their elements lie in another order than their weights'."""
    return [grad if same_order(grad, weight) else ordered_like(grad, weight)
            for grad, weight in zip(grads, weights, strict=True)]


def _only(layers: Sequence[int], rows: list[list[int]]) -> list[list[int]]:
    """The rows of addresses with these layers alone."""
    kept = set(layers)
    return [[address if layer in kept else 0 for layer, address in enumerate(row)] for row in rows]
