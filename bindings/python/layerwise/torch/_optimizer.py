"""What the optimizers of this package have in common: from torch's groups, states and hooks to the library's calls."""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ._assignment import MULTIPLIERS, Assignment, Group, Member, Slot, Spec, parameter_name, parameter_place
from ._before_step import BeforeStep
from ._bucket import Bucket
from ._calls import (
    Accepted,
    AllAccepted,
    Call,
    Launch,
    Tensors,
    bring_lr,
    call_multipliers,
    given_tensor,
    group_multipliers,
    positions_multipliers,
    refuse_frozen_lr,
    scalar_on,
)
from ._exchange import Exchanges
from ._flat_gradients import FlatGradients
from ._gradients import square_of_norm
from ._group_watch import GroupWatch
from ._groups import prepare_group, unique_parameters
from ._lazy import Resolved
from ._multipliers import (
    OPTION,
    SHARED_NAMES,
    applied,
    applied_names,
    refuse_given,
    refuse_loaded,
    refuse_unclaimed,
    settle_multipliers,
    skipped,
    was_claimed,
)
from ._native import native
from ._order import can_be_packed, check_parameter, pack
from ._pieces import Piece, Pieces
from ._repetition import Due, Repetition
from ._shards import local
from ._state import check_state, copied, fresh_state, in_sight, loaded_state, make_ready, out_of_torchs_sight, staying
from ._stats import LayerStats, rows
from ._values import KNOWN, is_rate, owner, same_values, switch

_NONE: dict[str, Any] = {}
OF_THE_PROCESS = ("threads", "capturable", "flatten")  # options that a checkpoint does not carry to another


class LayerwiseOptimizer(Optimizer):
    """Steps of buckets. Subclasses say what a group needs (`_spec`, `_options`) and call their operator (`_launch`)."""

    _step_supports_amp_scaling = False
    _stateful = True
    _needs_weight_norms = True  # LARC's factor does
    _engine_takes_layers_away = False

    def __init__(self, params: Any, defaults: dict[str, Any], group_multipliers: str, unscale_in_step: bool) -> None:
        self._reset()
        # Not among the defaults, which wrappers give to groups of their own making: those are still to be looked at.
        self._group_multipliers = owner(group_multipliers, OPTION)
        # The name that GradScaler and Lightning ask for. GradScaler then sets grad_scale and found_inf before a step.
        self._step_supports_amp_scaling = switch(unscale_in_step, "unscale_in_step")
        super().__init__(params, defaults)

    def _reset(self) -> None:
        native.found()  # a library that is named and is none is refused here: no step is half done then
        self._assignment = Assignment(self._engine_takes_layers_away)
        self._nonfinite: dict[torch.device, Tensor] = {}
        self._has_stepped = False
        self._repetition: Repetition | None = None
        self._group_watch: GroupWatch | None = None
        self._exchanges = Exchanges()
        self._pieces: Pieces | None = None
        self._awaits_pieces = False
        self._flat_gradients: FlatGradients | None = None
        self._accepted: dict[int, Accepted] = {}  # by the identity of the group's list of parameters

    def _spec(self, group: Group) -> Spec:
        raise NotImplementedError

    def _options(self, group: Group) -> dict[str, Any]:
        """What the library is told of a group beside lr and multipliers, by its own names."""
        raise NotImplementedError

    def _launch(self, options: dict[str, Any], launch: Launch, moments: list[Tensor], steps: list[Tensor],
                per_layer: list[list[Tensor]]) -> None:
        """options are lr and those of `_options`."""
        raise NotImplementedError

    def _try(self, group: Group) -> None:
        """Raises layerwise.ArgumentError for options that the library refuses, in its own words."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch.optim.Optimizer; a parameter given twice is taken once. On error, no group is added.

        Raises layerwise.ArgumentError, ValueError, TypeError.
        """
        framework_keys: list[str] = []
        if isinstance(param_group, dict):
            param_group["params"] = unique_parameters(param_group["params"])
            framework_keys = self._claim(param_group)
            param_group.setdefault(OPTION, self._group_multipliers)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name in framework_keys:
            del group[name]  # torch has set it
        try:
            self._prepare(group)
            self._assignment.given.add(group)
        except BaseException:
            self.param_groups.pop()
            raise
        if group["flatten"]:
            pack(group["params"])

    def _claim(self, group: Group) -> list[str]:
        """Raises ValueError where the group's multipliers are not known to be ours. Returns the names of those that are
        a framework's, which has not given them."""
        whose = owner(group.get(OPTION, self._group_multipliers), OPTION)
        if whose != self._group_multipliers != "refuse":
            raise ValueError(f"a parameter group has {OPTION}={whose!r} and the optimizer {self._group_multipliers!r}: "
                             "give one of them alone. An optimizer leaves its options in the dicts it was made of")
        if whose == "refuse":
            refuse_unclaimed(group, self.defaults)
        if whose != "ignore":
            return []
        refuse_given(self.defaults)
        return [name for name in SHARED_NAMES if name not in group]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Performs one step. closure, where given, computes the gradients and returns the loss, which is returned.

        CUDA: returns at once, reads nothing back. Raises TypeError for sparse, complex or float64 parameters that have
        gradients, or gradients; ValueError for a parameter whose shape or dtype is not what its state was made for, for
        flat partitions in the place of parameters, and for state of another optimizer; layerwise.LayoutError where
        ranks that share layers disagree, RuntimeError where another of them refuses. Nothing is written then.

        The state is `state[p]`, whoever wrote it; a parameter without state takes its first step. A step with lr 0 and
        gradients that are all 0, before any other, makes the state and is no step: checkpoint tools ask for it so.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grad_scale, found_inf = given_tensor(self, "grad_scale"), given_tensor(self, "found_inf")
        if torch.compiler.is_compiling():
            with torch.no_grad():
                self._trace(grad_scale, found_inf)
        else:
            self._step(grad_scale, found_inf)
        return loss

    @torch.compiler.disable  # where torch gives up compiling `step` it tries what that calls
    def _step(self, grad_scale: Any, found_inf: Any) -> None:
        if self._pieces is not None:
            self._pieces.step(grad_scale, found_inf)
            return
        if self._awaits_pieces:
            self._refuse_gradients()
            return
        if self._repetition is not None:  # which finds a state: the step is asked for more
            accepted = self._accept_all()
            due = self._due(accepted, grad_scale, found_inf)
            if due is not None:
                self._run(due, accepted, grad_scale, found_inf)
                return
        with torch.no_grad():
            self._follow_cuts()
            with self._exchanges.told():
                steps = not self._is_asked_for_state_alone()
                if steps or self._exchanges:  # other ranks may have gradients
                    accepted = self._accept_all()
                    calls = self._look(accepted)
            if self._exchanges:
                found_inf, steps = self._exchanges.add_up(calls, grad_scale, found_inf, steps=steps)
            if steps:
                self._run(calls, accepted, grad_scale, found_inf)
            else:
                self.init_state()

    def _refuse_gradients(self) -> None:
        if any(bool(parameter.grad.count_nonzero()) for parameter in self._parameters() if parameter.grad is not None):
            raise RuntimeError("the optimizer awaits an engine's pieces: set_pieces before the first step")

    def pack_grads(self) -> list[Tensor]:
        """Moves the gradients into one buffer for each device and dtype, of which every `parameter.grad` is a view, as
        DistributedDataParallel's gradient_as_bucket_view does. Returns the buffers, one-dimensional, 0 in gaps and in
        the places of gradients that are None.

        From then on `clip_grad_norm_` and `zero_grad(set_to_none=False)` of this optimizer do the same, and are one
        operation a buffer; backward adds into the buffers. `parameter.grad` stays the truth: one that is replaced, or
        None as after zero_grad(), is what a step takes, and one that lies elsewhere is copied by the next of these
        three. Sparse gradients, those of DTensors, with a graph or in shared memory stay where they are. New
        parameters, or those of another dtype, shape or device, are given new buffers: ask again for them. Copies and
        pickles of the optimizer have buffers of their own; torch.compile is to leave this out.

        Raises RuntimeError where the parameters are an engine's flat partitions, whose gradients are the engine's.
        """
        if self._pieces is not None or self._awaits_pieces:
            raise RuntimeError("the gradients of an engine's flat parameters lie where the engine has them: pack_grads "
                               "is for parameters that are layers")
        if self._flat_gradients is None:
            self._flat_gradients = FlatGradients()
        self._flat_gradients.bring(self._parameters())
        return list(self._flat_gradients.buffers)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As in torch.optim.Optimizer; after `pack_grads` and with set_to_none=False one operation a buffer."""
        flat = self._flat_gradients
        if flat is not None and not set_to_none and flat.are_packed(self._parameters()):
            flat.zero_()
            return
        self._zero_each(set_to_none)
        if flat is not None and not set_to_none:
            flat.bring(self._parameters())

    def _zero_each(self, set_to_none: bool) -> None:
        super().zero_grad(set_to_none)

    @torch.no_grad()
    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Limits the norm of all gradients together to max_norm, as torch.nn.utils.clip_grad_norm_ does, in place;
        returns the norm before. Of layers that are cut over ranks, flat parameters' too, it is that of the whole
        layers, for one all-reduce of a number a layer. After `pack_grads` it is one operation a buffer.

        Every rank calls it. Gradients must be unscaled. Raises as `step`; ValueError with norm="inf" of cut layers.
        """
        if self._pieces is not None:
            self._pieces.bring()
            return self._pieces.inner.clip_grad_norm_(max_norm)
        flat = self._flat_gradients
        are_packed = flat is not None and flat.bring(self._parameters())
        self._follow_cuts()
        if flat is not None and are_packed and not self._exchanges:
            squares = [square_of_norm([buffer]) for buffer in flat.buffers]
            norm, factor = _norm_and_factor(squares, max_norm)
            flat.mul_(factor)
            return norm
        with self._exchanges.told():
            accepted = self._accept_all()
            due = self._due(accepted, None, None)
            if due is not None:  # then no layer is cut
                return _clip_together(due.gradients(), max_norm)
            calls = self._look(accepted)
            if any(call.mesh is not None and call.options.get("norm") == "inf" for call in calls):
                raise ValueError("norm is 'inf': the largest magnitudes of cut layers travel, from which no norm of "
                                 "all gradients follows; torch.nn.utils.clip_grad_norm_ adds up sums of its own")
        self._exchanges.add_up(calls, None, None, f"clip_grad_norm_ to {max_norm}")
        squares = [call.bucket.sums[0][call.tensors.layers].sum() if call.mesh is not None else
                   square_of_norm(call.tensors.grads) for call in calls]
        norm, factor = _norm_and_factor(squares, max_norm)
        for call in calls:
            resolved = Resolved()
            torch._foreach_mul_(resolved.of(call.tensors.grads), factor.to(call.bucket.device))
            resolved.write_back()
        return norm

    def set_pieces(self, pieces: Mapping[Tensor, Sequence[Piece]], group: Any = None) -> None:
        """Says which pieces of which layers the flat parameters hold that an engine has put in the place of those that
        this optimizer was given; it then steps whole layers (`layerwise.torch.pieces` has them of engines).

        pieces  `layerwise.torch.pieces.Piece`s for every parameter of the groups; what no piece holds is left alone
        group   a torch.distributed process group, of the ranks that hold the pieces together; None: all ranks

        Every rank of the group calls it. The step is then one all-reduce of a number a layer, as for DTensors that are
        cut. State of a flat parameter: its moment, of its own shape, and vectors with one value for each of its pieces,
        in the order of their offsets. Raises ValueError on every rank where one refuses its pieces, and after
        `pack_grads`.
        """
        if self._flat_gradients is not None:
            raise ValueError("pack_grads was called, and an engine's flat parameters have their gradients where the "
                             "engine has them: make the optimizer anew")
        made = Pieces(self, pieces, group)
        self._pieces = made

    def _made_for_pieces(self, groups: list[Group]) -> LayerwiseOptimizer:
        """One of the same kind, of pieces that stand in groups with this one's options."""
        inner: LayerwiseOptimizer = type(self).__new__(type(self))
        LayerwiseOptimizer.__init__(inner, groups, dict(self.defaults), "apply", False)
        return inner

    def _whose(self, group: Mapping[str, Any]) -> str:
        """The multipliers of a group."""
        return str(group[OPTION])

    def _look_ahead(self) -> None:
        """Raises where a step would be refused, for its own tensors' sake and before anything is written."""
        if self._pieces is not None:
            self._pieces.bring_untold()
            self._pieces.inner._look_ahead()
            return
        accepted = self._accept_all()
        if self._due(accepted, None, None) is None:
            self._look(accepted)

    def _follow_cuts(self) -> None:
        self._exchanges.follow(self.param_groups, self._needs_weight_norms, self._assignment.name_at(self.param_groups))

    def _due(self, accepted: AllAccepted, grad_scale: Any, found_inf: Any) -> Due | None:
        """Not None where the step before can be taken again."""
        if self._repetition is None or grad_scale is not None or found_inf is not None:
            return None
        return self._repetition.due(accepted, self.state)

    def _parameters(self) -> list[Tensor]:
        """All of them, whether they take part or not."""
        if len(self.param_groups) == 1 and type(self.param_groups[0]["params"]) is list:
            return self.param_groups[0]["params"]
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _look(self, accepted: AllAccepted) -> list[Call]:
        """What a step is to do. Raises where a group is refused, before anything is written."""
        specs = [each.spec for each in accepted.options]
        calls = []
        for parts in self._assignment.calls(self.param_groups, specs, accepted.labels, self.state).values():
            for bucket, members in parts.items():
                number = members[0][2]
                options, lr = accepted.options[number].options, accepted.rates[number]
                if bucket.capturing():
                    refuse_frozen_lr(lr)
                    self._assignment.pinned.add(bucket)
                    if members[0][0].key.mesh is not None:
                        raise RuntimeError("a CUDA graph is being captured: the step of layers that are cut over ranks "
                                           "reads what they agree about, and cannot be")
                tensors = Tensors([], [], [], [], [], [])
                self._fill(tensors, members, specs[number])
                _refuse_without_memory(members, tensors)
                entries = specs[number].entries() if self._stateful else ()
                calls.append(Call(bucket, lr, options, tensors, call_multipliers(members, accepted.options), entries,
                                  number, members[0][0].key.mesh, [id(parameter) for _, parameter, _ in members]))
                _refuse_norm_of_sum(calls[-1])
        if len(calls) > 1:
            self._refuse_shared_memory(calls)
        return calls

    def _refuse_shared_memory(self, calls: Sequence[Call]) -> None:
        """Raises ValueError for two parameters in one memory; those of one call are seen by their bucket."""
        addresses = [weight.data_ptr() for call in calls for weight in call.tensors.weights if weight.numel()]
        if len(set(addresses)) == len(addresses):
            return
        twice = next(address for address in addresses if addresses.count(address) > 1)
        names = [slot.name for parameter, slot in self._assignment.slots() if local(parameter).data_ptr() == twice]
        raise ValueError(f"{' and '.join(names)} are the same memory in two parameters: share the parameter itself "
                         "instead, so that it is updated once")

    def _run(self, work: Due | Sequence[Call], accepted: AllAccepted, grad_scale: Any, found_inf: Any) -> None:
        """work: what `_due` or `_look` gave; sums of layers that are cut have been added up."""
        self._has_stepped = True
        if isinstance(work, Due):
            work.repetition.take(work, accepted.rates, self._nonfinite)
            return
        self._launch_all(work, grad_scale, found_inf)
        is_alone = grad_scale is None and found_inf is None and not self._exchanges
        self._repetition = Repetition.of(
            work, accepted, self.state if self._stateful else None) if is_alone else None

    def _launch_all(self, calls: Sequence[Call], grad_scale: Any, found_inf: Any) -> None:
        for bucket, lr, options, tensors, multipliers, *_ in calls:
            device, resolved = bucket.device, Resolved()
            weights, grads, moments = map(resolved.of, tensors[:3])
            launch = Launch(
                bucket.handle, tensors.layers, weights, grads, bucket.layer_stats, self._nonfinite_on(device),
                scalar_on(device, grad_scale), scalar_on(device, found_inf), scalar_on(device, lr), *multipliers)
            self._launch({"lr": lr, **options}, launch, moments, tensors.steps, tensors.by_kind())
            resolved.write_back()

    def _fill(self, tensors: Tensors, members: Sequence[Member], spec: Spec) -> None:
        weights, grads, moments, per_layer, steps, layers = tensors
        for slot, parameter, _ in members:
            layers.append(slot.layer)
            weights.append(local(parameter))
            grad: Any = parameter.grad
            grads.append(local(grad, "the gradient of a parameter"))
            if self._stateful:
                state = self._state_of(parameter, slot)
                steps.append(state["step"])
                per_layer += [state[name] for name in spec.per_layer]
                if spec.moment is not None:
                    moments.append(local(state[spec.moment]))

    # ---- The step that torch.compile traces -------------------------------------------------------------------------

    def _trace(self, grad_scale: Any, found_inf: Any) -> None:
        """A call for each bucket of each group: whether options are equal may change, and a graph stays."""
        found = []
        for group in self.param_groups:
            lists: list[list[Any]] = [[] for _ in range(9)]
            self._init_group(group, *lists)
            found.append(lists)
        for group, lists in zip(self.param_groups, found, strict=True):
            tensors, positions, vectors, launches = Tensors(*lists[:6]), *lists[6:]
            multipliers = self._multipliers(group)
            begin = 0
            for index in range(len(launches) // 2):
                handle, end = launches[2 * index], begin + launches[2 * index + 1]
                part = slice(begin, end)
                device = tensors.weights[begin].device
                launch = Launch(
                    handle, tensors.layers[part], tensors.weights[part], tensors.grads[part], vectors[2 * index],
                    vectors[2 * index + 1], scalar_on(device, grad_scale), scalar_on(device, found_inf),
                    scalar_on(device, group["lr"]),
                    *(positions_multipliers(multipliers[name], positions[part]) for name in MULTIPLIERS))
                self._launch({"lr": group["lr"], **self._options(group)}, launch, tensors.moments[part],
                             tensors.steps[part], tensors.by_kind(begin, end))
                begin = end

    @torch.compiler.disable
    def _init_group(self, group: Group, weights: list[Any], grads: list[Any], moments: list[Any],
                    per_layer: list[Any], steps: list[Any], layers: list[Any], positions: list[Any],
                    vectors: list[Any], launches: list[Any]) -> None:
        """Fills the lists, bucket after bucket; launches gets a handle and a number of layers for each.

        The name and the empty lists are a convention of torch.compile, which calls this method instead of tracing it.
        """
        if self._pieces is not None or self._awaits_pieces:
            raise RuntimeError("a step of pieces of layers cannot be compiled: leave optimizer.step out")
        groups = self.param_groups
        for each in groups:
            self._settle(each)
            bring_lr(each)
        calls = self._assignment.calls(groups, list(map(self._spec, groups)), list(range(len(groups))), self.state)
        number = next(number for number, each in enumerate(groups) if each is group)
        for bucket, members in calls[number].items():
            if bucket.capturing():
                refuse_frozen_lr(group["lr"])
            if members[0][0].key.mesh is not None:
                raise RuntimeError("a step of layers that are cut over ranks cannot be compiled: leave optimizer.step "
                                   "out")
            self._assignment.pinned.add(bucket)
            launches += (bucket.handle, len(members))
            vectors += (bucket.layer_stats, self._nonfinite_on(bucket.device))
            positions += [slot.position for slot, _, _ in members]
            self._fill(Tensors(weights, grads, moments, per_layer, steps, layers), members, members[0][0].key.spec)

    # ---- The groups' options ----------------------------------------------------------------------------------------

    def _accept_all(self) -> AllAccepted:
        """The options of every group. Brings those that were changed into the form they are kept in; raises for what
        the library refuses."""
        if self._group_watch is not None:
            again = self._group_watch.look(self.param_groups, self._own_options)
            if again is not None:
                return again
        options, rates = [], []
        values = self._values
        for group in self.param_groups:
            lr, known = group.get("lr"), self._accepted.get(id(group["params"]))
            if isinstance(lr, Tensor):
                lr = bring_lr(group)
            if (known is None or known.parameters != len(group["params"]) or not is_rate(lr)
                    or not all(map(operator.is_, known.values, values(group)))):
                known = self._accept(group, known)
                lr = group["lr"]
            options.append(known)
            rates.append(lr)
        accepted = AllAccepted(options, rates, self._parameters())
        self._group_watch = GroupWatch.of(self.param_groups, self._value_names, self._own_options, accepted)
        return accepted

    def _accept(self, group: Group, known: Accepted | None) -> Accepted:
        """known: the options that the group, or one that is gone, had before."""
        self._settle(group)
        parameters, values = group["params"], self._values(group)
        if known is not None and is_rate(group.get("lr")) and same_values(known.values, values):
            known = known._replace(values=values, parameters=len(parameters))
        else:
            self._prepare(group)
            spec, options = self._spec(group), self._options(group)
            known = Accepted(self._values(group), len(parameters), spec, options, repr((spec, options)),
                             group_multipliers(self._multipliers(group)))
        if len(self._accepted) > 2 * len(self.param_groups):
            self._accepted.clear()  # of lists that are gone
        self._accepted[id(parameters)] = known
        return known

    @property
    def _values(self) -> Callable[[Group], tuple[Any, ...]]:
        """Gives all that a step depends on but lr."""
        names = self._value_names
        return lambda group: tuple(map(group.get, names))

    @functools.cached_property
    def _own_names(self) -> tuple[str, ...]:
        """Wrappers add defaults of their own."""
        return (*[name for name in self.defaults if name in KNOWN and name != "lr"], OPTION, *MULTIPLIERS)

    @property
    def _value_names(self) -> tuple[str, ...]:
        """Of what a step depends on in a group, lr apart; a framework's multipliers may be missing in it."""
        return self._own_names

    @property
    def _own_options(self) -> dict[str, Any]:
        """What a step depends on and no group has."""
        return _NONE

    def _multipliers(self, group: Group) -> dict[str, Any]:
        """What a step multiplies by, by MULTIPLIERS: one value, one for each parameter, or None."""
        whose = group[OPTION]
        return {**dict.fromkeys(MULTIPLIERS), **dict(applied(group, whose)), "skip_larc": skipped(group, whose)}

    def _settle(self, group: Group) -> None:
        """Brings multipliers into the form they are kept in, and completes a group that was put into param_groups by
        other means than add_param_group. Raises ValueError, TypeError."""
        if not was_claimed(group):
            self._claim(group)
            group.update(self._completed(group, {}))
        settle_multipliers(group, group[OPTION])

    def _prepare(self, group: Group) -> None:
        """Raises ValueError, TypeError; the group is then as it was."""
        prepared = dict(group)
        prepare_group(prepared)
        self._spec(prepared)
        self._try(prepared)
        group.update(prepared)

    # ---- The state --------------------------------------------------------------------------------------------------

    def _state_of(self, parameter: Tensor, slot: Slot) -> dict[str, Any]:
        """The parameter's state, brought into the form that its bucket takes where that is due."""
        state: dict[str, Any] | None = self.state.get(parameter)
        if state is None:
            state = self.state[parameter] = {}
        if not slot.knows(state):
            make_ready(state, parameter, slot)
        return state

    def init_state(self) -> None:
        """Gives every parameter that needs a gradient, and has no state, the state of before its first step: for those
        who load a checkpoint in place into a fresh optimizer. Raises as `step`."""
        for number, group in enumerate(self.param_groups):
            spec = self._spec(group)
            for position, parameter in enumerate(group["params"]):
                if parameter.requires_grad and not is_lazy(parameter) and not self.state.get(parameter):
                    check_parameter(parameter, parameter_place(self.param_groups, number, position))
                    self.state[parameter] = fresh_state(parameter, spec)

    def _is_asked_for_state_alone(self) -> bool:
        """On this rank, as far as it can see."""
        states = (values for values in self.state.values() if isinstance(values, dict) and values)
        has_stepped = self._has_stepped or bool(self._assignment.pinned)  # a traced step sets nothing itself
        if any(has_stepped or values.get("step", 1) != 0 for values in states):
            return False
        rates = [group["lr"] for group in self.param_groups]
        if any(isinstance(lr, Tensor) and lr.is_cuda for lr in rates) and torch.cuda.is_current_stream_capturing():
            return False  # nothing can be read; the step refuses to be the first
        if not all(map(is_rate, rates)) or any(map(float, rates)):
            return False  # the step refuses what is no rate
        grads = [parameter.grad for group in self.param_groups for parameter in group["params"]
                 if parameter.grad is not None]
        return bool(grads) and not any(bool(local(grad).count_nonzero()) for grad in grads)

    def _nonfinite_on(self, device: torch.device) -> Tensor:
        if device not in self._nonfinite:
            self._nonfinite[device] = torch.zeros((), dtype=torch.int64, device=device)
        return self._nonfinite[device]

    # ---- What can be asked ------------------------------------------------------------------------------------------

    def layer_stats(self) -> dict[str, LayerStats]:
        """What the library said of each layer in the last step that it took part in, by parameter name.

        Names are those of the (name, parameter) pairs that the optimizer was given, else "group.position". Layers that
        never took part are missing. Waits for the device.
        """
        if self._pieces is not None:
            return self._pieces.inner.layer_stats()
        places = {parameter: (number, position) for number, group in enumerate(self.param_groups)
                  for position, parameter in enumerate(group["params"])}
        said: dict[Bucket, list[LayerStats | None]] = {}
        found = {}
        for parameter, slot in self._assignment.slots():
            if slot.bucket not in said:
                said[slot.bucket] = rows(slot.bucket.layer_stats)
            row = said[slot.bucket][slot.layer]
            if row is not None and parameter in places:
                found[places[parameter]] = row
        return {parameter_name(self.param_groups, *place): found[place] for place in sorted(found)}

    def nonfinite_layers(self) -> int:
        """How many times a layer was skipped because its gradient was not finite. Waits for the device."""
        if self._pieces is not None:
            return self._pieces.inner.nonfinite_layers()
        return sum(int(count) for count in self._nonfinite.values())

    @property
    def flat_weights(self) -> list[Tensor]:
        """The buffers that the parameters of groups with flatten=True lie in, one-dimensional, gaps included."""
        storages = {parameter.untyped_storage().data_ptr(): parameter for group in self.param_groups
                    if group.get("flatten") for parameter in group["params"] if can_be_packed(parameter)}
        return [torch.empty(0, dtype=parameter.dtype, device=parameter.device).set_(parameter.untyped_storage())
                for parameter in storages.values()]

    def check_covers(self, module: torch.nn.Module) -> None:
        """Raises ValueError for a parameter of the module that needs a gradient and is not in this optimizer, as when
        it was replaced after the optimizer was made."""
        held = {parameter for group in self.param_groups for parameter in group["params"]}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and parameter not in held:
                raise ValueError(f"{name} of the model is not in this optimizer: it was added or replaced after the "
                                 "optimizer was made")

    # ---- Saving and loading -----------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch.optim.Optimizer, but state keeps its own dtype and is copied; into the memory of the old state in
        groups whose lr is a tensor, so that a captured graph sees it, and where that is shared memory. Options that
        state_dict lacks stay as they are, and so do threads, capturable, flatten and whether lr is a tensor: they are
        of the process, not of the training.

        Raises ValueError for other parameter groups, for state of another shape than its parameter's, and for that of
        another optimizer; nothing is loaded then.
        """
        last = self.register_load_state_dict_pre_hook(out_of_torchs_sight)
        try:
            super().load_state_dict(state_dict)
        finally:
            last.remove()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_step_supports_amp_scaling": self._step_supports_amp_scaling,
                "_group_multipliers": self._group_multipliers, "_before_step": BeforeStep.of(self),
                "_awaits_pieces": self._awaits_pieces or self._pieces is not None,
                "_packs_gradients": self._flat_gradients is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        previous = self.__dict__.get("state")
        if previous is None:  # unpickled or copied
            super().__setstate__(state)
            self._reset()
            self._group_multipliers = state.get("_group_multipliers", "refuse")
            self._awaits_pieces = state.get("_awaits_pieces", False)  # a copy has flat parameters of its own
            self._flat_gradients = FlatGradients() if state.get("_packs_gradients") else None
            for hook in state.get("_before_step", ()):
                self.register_step_pre_hook(hook)
            self._fill_groups(None)
            for group in self.param_groups:
                self._assignment.given.add(group)
                if group["flatten"]:  # parameters are copied one by one
                    pack(group["params"])
            return
        if "state" not in state or "param_groups" not in state:
            super().__setstate__(state)
            return
        groups = self.param_groups
        loaded = {parameter: in_sight(values) for parameter, values in state["state"].items()}
        for number, group in enumerate(state["param_groups"]):
            refuse_loaded(group, groups[number].get(OPTION, self._group_multipliers))
            merged = self._completed(group, groups[number])
            prepare_group(merged)
            self._try(merged)
            for position, parameter in enumerate(group["params"]):
                self._check_loaded(loaded.get(parameter) or {}, parameter, self._spec(merged), f"parameter {position}")
        super().__setstate__({**state, "state": defaultdict(dict, loaded)})
        self._fill_groups(groups)
        for number, group in enumerate(self.param_groups):
            spec = self._spec(group)
            in_place = isinstance(group["lr"], Tensor) and isinstance(groups[number].get("lr"), Tensor)
            for parameter in group["params"]:
                values, old = loaded.get(parameter) or {}, staying(previous.get(parameter) or {}, in_place)
                if values and self._pieces is not None:
                    self.state[parameter] = {name: copied(value, None, parameter.device)
                                             for name, value in values.items()}
                elif values or old:
                    self.state[parameter] = loaded_state(values, old, parameter, spec)

    def _check_loaded(self, values: Any, parameter: Tensor, spec: Spec, name: str) -> None:
        if self._pieces is None:
            check_state(values, parameter, spec, name)
        else:
            self._pieces.check(values, parameter, spec)

    def _completed(self, group: Group, previous: Group) -> Group:
        """A group with the options that it lacks: those that were there, else the constructor's. What says how this
        process runs, and whose its multipliers are, stays as it was; a framework's multipliers are not made here."""
        whose = previous.get(OPTION, group.get(OPTION, self._group_multipliers))
        lacking = {name: previous.get(name, default) for name, default in self.defaults.items()
                   if name in previous or name in applied_names(whose) or name not in MULTIPLIERS}
        kept = {name: previous[name] for name in OF_THE_PROCESS if name in previous}
        return {**lacking, **group, **kept, OPTION: whose}

    def _fill_groups(self, previous: list[Group] | None) -> None:
        """A tensor lr keeps its memory, and a number stays one. Groups that shared a tensor and get rates of their own
        get tensors of their own."""
        written: dict[int, float] = {}
        for number, group in enumerate(self.param_groups):
            before = {} if previous is None else previous[number]
            group.update(self._completed(group, before))
            prepare_group(group)
            old = before.get("lr")
            if isinstance(old, Tensor) and old is not group["lr"]:
                new = torch.as_tensor(group["lr"], dtype=old.dtype, device=old.device)
                is_apart = written.setdefault(id(old), float(new)) != float(new)
                group["lr"] = new.clone() if is_apart else old.copy_(new)
            elif isinstance(group["lr"], Tensor) and not isinstance(before.get("lr", group["lr"]), Tensor):
                group["lr"] = float(group["lr"])


def _clip_together(gradients: Sequence[tuple[torch.device, list[Tensor]]], max_norm: float) -> Tensor:
    norm, factor = _norm_and_factor([square_of_norm(grads) for _, grads in gradients], max_norm)
    for device, grads in gradients:
        torch._foreach_mul_(grads, factor.to(device))
    return norm


def _norm_and_factor(squares: Sequence[Tensor], max_norm: float) -> tuple[Tensor, Tensor]:
    """The norm that float64 scalars are the squares of, float32, and what limits it, as torch's clip_grad_norm_."""
    if not squares:
        return torch.zeros(()), torch.ones(())
    norm = torch.stack([square.to(squares[0].device) for square in squares]).sum().sqrt()
    return norm.float(), (max_norm / (norm + 1e-6)).clamp(max=1).float()


def _refuse_norm_of_sum(call: Call) -> None:
    """Raises ValueError for the norm of g + weight_decay*w over ranks: it does not follow from |g| and |w|."""
    fold = call.options.get("fold_weight_decay")
    if call.mesh is not None and fold in ("gradient", "both"):
        raise ValueError(f"fold_weight_decay is {fold!r}: of layers that are cut over ranks the norm of "
                         "g + weight_decay*w is not to be had; True adds the two norms")


def _refuse_without_memory(members: Sequence[Member], tensors: Tensors) -> None:
    """Raises ValueError for a layer that the library would take for one that is left out."""
    for what, there in (("", tensors.weights), ("the gradient of ", tensors.grads)):
        for (slot, _, _), tensor in zip(members, there, strict=True):
            if tensor.data_ptr() == 0 and tensor.numel():
                raise ValueError(f"{what}{slot.name} has no memory: its storage was freed, or torch keeps its zeros "
                                 f"nowhere. It must hold its values{', or be None' if what else ''}")
