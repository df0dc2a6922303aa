"""What ranks that hold pieces of layers tell each other: one all-reduce a step, whatever the number of layers.

A step sums its pieces, the ranks add up the sums, and each applies: the same second moments and factors everywhere.
With the sums travels what must agree, so that a rank that would step otherwise stops all of them, before anything is
written.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import textwrap
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from .. import LayoutError, Plan, _abi
from .._errors import RANKS_DISAGREE, refusal
from ._calls import Call
from ._shards import is_counted, local, mesh_of, piece_of

# A message: flags, each 0 where no rank has set it, the claim's head, and the layers' sums.
_REFUSED, _CHANGED, _UNCHANGED, _STEPS, _FOUND_INF, _HEAD = range(6)
_SUMS = _HEAD + _abi.CLAIM_HEAD

# The last messages on the CPU, more than a step has: one for each mesh and norm. A thread of gloo drops its reference to
# a message some time after the all-reduce has returned, and needs the GIL if no other reference is left. Before torch 2.8
# a group that ends holds the GIL while it waits for that thread: destroy_process_group right after a step would hang.
_held: collections.deque[Tensor] = collections.deque(maxlen=16)


class Layer(NamedTuple):
    """A layer that is cut, and this rank's piece of it; begin: -1 where the piece is not contiguous."""

    name: str
    size: int
    begin: int
    numel: int
    counted: bool


class Exchange:
    """The layers that are cut over one mesh and share a norm.

    layers      all of them, whether they take part in a step or not: a message is as long on every rank
    places      of the parameters among them, by their identities
    of_weights  whether the weights' sums travel too
    norm        "l2", whose sums are added, or "inf", whose largest is taken
    norms       of all exchanges over the mesh: a rank that has fewer would leave the others waiting
    has_all_state  whether every rank has every layer's second moment and number of steps; an engine's flat parameters
                keep those of layers that they have elements of
    """

    def __init__(self, mesh: Any, layers: Sequence[Layer], places: dict[int, int], of_weights: bool, norm: str,
                 norms: Sequence[str], has_all_state: bool) -> None:
        self.norm, self.of_weights, self.has_all_state = norm, of_weights, has_all_state
        self._kinds = 2 if of_weights else 1
        self._mesh = mesh
        self._device = torch.device(mesh.device_type)
        self._places, self._layers = places, len(layers)
        self._plan = Plan([layer.numel for layer in layers], threads=1)
        self._plan.set_shard([layer.size for layer in layers], [layer.begin for layer in layers],
                             [layer.counted for layer in layers])
        self._size = _SUMS + len(layers) * self._kinds
        agreed = " ".join([norm, f"of {', '.join(norms)}", "with weights:" if of_weights else "alone:", *[
            f"{layer.name} {layer.size}" for layer in layers]]).encode()
        for with_layers in (False, True):  # ranks with other numbers of layers would have other messages
            claim = self._plan.shard_claim(agreed, with_layers)
            total = self._reduced(torch.tensor(claim, device=self._device), dist.ReduceOp.SUM)
            self._verify(claim, total.cpu().numpy(), agreed)

    def message(self, calls: Sequence[Call], agreed: bytes, found_inf: Tensor | None, steps: bool) -> Tensor:
        """This rank's sums, and what it says beside them; steps: whether it has anything to step."""
        message = torch.zeros(self._size, dtype=torch.float64)
        message[_UNCHANGED], message[_STEPS] = 1, steps
        message[_HEAD:_SUMS] = torch.from_numpy(self._plan.shard_claim(agreed, False))
        message = message.to(self._device)
        if found_inf is not None:
            message[_FOUND_INF] = found_inf.to(self._device) != 0
        for call in calls:
            tensors = call.tensors
            call.bucket.sum_up(tensors.layers, tensors.weights, tensors.grads, self.of_weights, self.norm)
            for kind in range(self._kinds):
                message[self._slots(call, kind)] = call.bucket.sums[kind][tensors.layers].to(self._device)
        return message

    def flag(self, flag: int) -> Tensor:
        """A message that says this alone."""
        message = torch.zeros(self._size, dtype=torch.float64, device=self._device)
        message[flag] = 1
        return message

    def verify(self, head: Tensor, agreed: bytes) -> None:
        """head: of the ranks' messages together. Raises layerwise.LayoutError where agreed is not the same in all."""
        self._verify(self._plan.shard_claim(agreed, False), self._summed(head[_HEAD:].numpy()), agreed)

    def bring(self, total: Tensor, calls: Sequence[Call]) -> None:
        """The sums of all ranks into the calls' buckets."""
        for call in calls:
            for kind in range(self._kinds):
                call.bucket.sums[kind][call.tensors.layers] = total[self._slots(call, kind)].to(call.bucket.device)

    def places(self, call: Call) -> list[int]:
        """Of the call's layers among those of the exchange."""
        return [self._places[identity] for identity in call.parameters]

    def _slots(self, call: Call, kind: int) -> list[int]:
        """Where the sums of one kind stand in a message."""
        return [_SUMS + kind * self._layers + place for place in self.places(call)]

    def reduced(self, message: Tensor) -> Tensor:
        if self.norm != "inf":
            return self._reduced(message, dist.ReduceOp.SUM)
        # A maximum and, by its negative, a minimum: what must agree has both the same.
        both = self._reduced(torch.cat([message, -message[_HEAD:_SUMS]]), dist.ReduceOp.MAX)
        largest, least = both[:self._size], -both[self._size:]
        largest[_HEAD:_SUMS] = torch.where(largest[_HEAD:_SUMS] == least, least, torch.nan)
        return largest

    def _summed(self, head: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The sum of what the ranks claim, where a maximum was taken."""
        return head if self.norm != "inf" else head * self._mesh.size()

    def _verify(self, claim: np.ndarray[Any, Any], total: np.ndarray[Any, Any], agreed: bytes) -> None:
        """Raises layerwise.LayoutError with what this rank has said: of each rank another, where they differ."""
        try:
            self._plan.shard_verify(claim, total)
        except LayoutError as error:
            said = textwrap.shorten(agreed.decode(), 400, placeholder=" ...")
            raise LayoutError(f"{error.args[0]}. Nothing was written on any rank. On rank {dist.get_rank()}: {said}",
                              error.status, error.status_name) from None

    def _reduced(self, tensor: Tensor, how: Any) -> Tensor:
        """In place, over the mesh: at once where it is all ranks, else one dimension after the other."""
        groups = [None] if self._mesh.size() == dist.get_world_size() else [
            self._mesh.get_group(dimension) for dimension in range(self._mesh.ndim)]
        if tensor.device.type == "cpu":
            _held.append(tensor)
        for group in groups:
            dist.all_reduce(tensor, how, group=group)
        return tensor


Found = dict[tuple[Any, str], list[tuple[Tensor, int, int]]]  # by mesh and norm: parameters, and where they stand


class Exchanges:
    """Those of an optimizer: made anew, with a claim of what the ranks hold, where its cut parameters or their norms
    have changed on any rank."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, list[weakref.ref[Tensor]]]] = []
        self._all: dict[tuple[Any, str], Exchange] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def follow(self, groups: Sequence[dict[str, Any]], of_weights: bool, name: Callable[[int, int], str]) -> None:
        """name: of a parameter by the number of its group and its position. Raises as `add_up`."""
        found: Found = {}
        for number, group in enumerate(groups):
            norm = "l2" if of_weights else str(group.get("norm", "l2"))
            for position, parameter in enumerate(group["params"]):
                mesh = mesh_of(parameter) if parameter.requires_grad or parameter.grad is not None else None
                if mesh is not None:
                    found.setdefault((mesh, norm), []).append((parameter, number, position))
        if not self._are_known(found):
            _heads([exchange.reduced(exchange.flag(_CHANGED)) for exchange in self._all.values()])
            self._make(found, of_weights, name)

    def _make(self, found: Found, of_weights: bool, name: Callable[[int, int], str]) -> None:
        self._known, self._all = [], {}
        made = {(mesh, norm): Exchange(mesh, *_layers(members, name), of_weights, norm,
                                       [other for its_mesh, other in found if its_mesh == mesh],
                                       piece_of(members[0][0]) is None)
                for (mesh, norm), members in found.items()}
        self._known = [(kind, [weakref.ref(parameter) for parameter, _, _ in members])
                       for kind, members in found.items()]
        self._all = made

    def _are_known(self, found: Found) -> bool:
        return len(found) == len(self._known) and all(
            kind == known and len(members) == len(refs) and all(
                member[0] is ref() for member, ref in zip(members, refs, strict=True))
            for (kind, members), (known, refs) in zip(found.items(), self._known, strict=True))

    def add_up(self, calls: Sequence[Call], grad_scale: Any, found_inf: Any, what: str = "step",
               steps: bool = True) -> tuple[Any, bool]:
        """Brings the sums of all ranks into the calls' buckets. Returns found_inf of all ranks together, as it is where
        no layer is cut, and whether any rank steps.

        what   the sums are for
        steps  whether this rank has anything to step

        Raises layerwise.LayoutError, on every rank, where ranks are told other things; RuntimeError where another has
        refused its step, or has other layers than before.
        """
        if not self._all:
            return found_inf, steps
        with self.told():
            own = [(exchange, of_exchange, _agreed(of_exchange, grad_scale, found_inf, exchange, what))
                   for exchange, of_exchange in self._with_calls(calls)]
            messages = [exchange.message(of_exchange, agreed, found_inf, steps)
                        for exchange, of_exchange, agreed in own]
        totals = [exchange.reduced(message) for (exchange, _, _), message in zip(own, messages, strict=True)]
        heads = _heads(totals)
        for (exchange, _, agreed), head in zip(own, heads, strict=True):
            exchange.verify(head, agreed)
        for (exchange, of_exchange, _), total in zip(own, totals, strict=True):
            exchange.bring(total, of_exchange)
            if isinstance(found_inf, Tensor):
                anywhere = total[_FOUND_INF].to(found_inf.device)
                found_inf = torch.maximum(found_inf.reshape(()).float(), anywhere.float())
        return found_inf, any(head[_STEPS] != 0 for head in heads)

    def _with_calls(self, calls: Sequence[Call]) -> Iterator[tuple[Exchange, list[Call]]]:
        for (mesh, norm), exchange in self._all.items():
            yield exchange, [call for call in calls if call.mesh == mesh and call.options.get("norm", "l2") == norm]

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Where what is done inside is refused, the other ranks hear of it: they would wait for this one."""
        try:
            yield
        except Exception:
            for exchange in self._all.values():
                exchange.reduced(exchange.flag(_REFUSED))
            raise


def _heads(totals: Sequence[Tensor]) -> list[Tensor]:
    """Of the ranks' messages together, on the host. All ranks have sent all of theirs by now: those who stop here leave
    nobody waiting. Raises RuntimeError where a rank has refused its step, layerwise.LayoutError where some have cut
    parameters, or norms, that are not those of before, and others have not."""
    heads = [total[:_SUMS].cpu() for total in totals]
    if any(head[_REFUSED] != 0 for head in heads):
        raise RuntimeError("another rank has refused this step and says why: nothing was written on any")
    if any(head[_CHANGED] != 0 and head[_UNCHANGED] != 0 for head in heads):
        raise refusal(RANKS_DISAGREE, "which parameters are cut and trained, or their norm, has changed since the last "
                      "step on some ranks and not on others. Nothing was written on any rank")
    return heads


def _layers(members: Sequence[tuple[Tensor, int, int]],
            name: Callable[[int, int], str]) -> tuple[list[Layer], dict[int, int]]:
    """Of the parameters, in their order, or in that which flat engines' pieces have on every rank."""
    found = []
    for parameter, number, position in members:
        piece, own = piece_of(parameter), local(parameter).numel()
        if piece is None:
            said = f"{name(number, position)} {tuple(parameter.shape)} {parameter.dtype}"
            layer = Layer(said, parameter.numel(), -1, own, is_counted(parameter))
        else:
            layer = Layer(piece.layer, piece.size, piece.begin, own, piece.counted)
        found.append((parameter, layer))
    first = piece_of(members[0][0])
    if first is not None:
        order = {layer: place for place, layer in enumerate(first.ranks.union)}
        found.sort(key=lambda each: order[each[1].name])
    return ([layer for _, layer in found], {id(parameter): place for place, (parameter, _) in enumerate(found)})


def _agreed(calls: Sequence[Call], grad_scale: Any, found_inf: Any, exchange: Exchange, what: str) -> bytes:
    """What a step is told, of which the ranks' must be equal."""
    told: dict[str, list[Any]] = {}  # calls differ in dtypes too, and may on ranks without an element of a layer
    state: list[tuple[Any, ...]] = []
    for call in calls:
        if exchange.has_all_state:
            state += zip(exchange.places(call), *_state_of(call), strict=True)
        multipliers: list[Sequence[Any]] = [values or [None] * len(call.parameters) for values in call.multipliers]
        options = {**call.options, **call.bucket.state_dtypes}
        told.setdefault(f"lr {_known(call.lr)!r}, {sorted(options.items())}", []).extend(
            zip(exchange.places(call), *multipliers, strict=True))
    steps = sorted((options, sorted(layers, key=lambda layer: int(layer[0]))) for options, layers in told.items())
    kept = hashlib.blake2s(repr(sorted(state, key=lambda layer: int(layer[0]))).encode(), digest_size=4).hexdigest()
    return (f"{what}, grad_scale {_known(grad_scale)!r}, found_inf {found_inf is not None}, second moments and numbers "
            f"of steps {kept}, {steps}").encode()


def _state_of(call: Call) -> list[list[float]]:
    """What a call's layers have one value of, by kind."""
    kinds = [kind for kind in (call.tensors.steps, *call.tensors.by_kind()) if kind]
    return [torch.stack([value.detach().reshape(()) for value in kind]).tolist() for kind in kinds]


def _known(value: Any) -> Any:
    """A tensor's number where it costs no wait."""
    if not isinstance(value, Tensor):
        return value
    return float(value) if value.device.type == "cpu" else "a tensor"
