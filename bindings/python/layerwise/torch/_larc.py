"""LARC around any optimizer."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from . import _ops
from ._assignment import MULTIPLIERS, Group, Spec
from ._before_step import BeforeStep
from ._calls import AllAccepted, Call, Launch, given_tensor
from ._flat_gradients import FlatGradients
from ._groups import larc_options, plan_without_elements
from ._multipliers import (
    OPTION,
    prepare_multipliers,
    refuse_unclaimed,
    settle_multipliers,
    skipped,
    was_claimed,
)
from ._optimizer import LayerwiseOptimizer
from ._pieces import Piece
from ._values import learning_rate, make_plain, number, owner

_SHARED_HOOKS = ("_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks",
                 "_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks")
_STEP_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")

_HIDDEN = {"weight_decay": 0.0, "maximize": False}  # from the inner optimizer, where the factor takes in the decay


class LARC(LayerwiseOptimizer):
    """Scales every parameter's gradient by LARC's factor (You et al., arXiv 1708.03888), then lets `optimizer` step.

        r = trust_coefficient*|w| / (|g| + eps), with clip r = min(r/lr, 1);    g = r*g

    optimizer     any torch.optim.Optimizer, or what wraps one and has its param_groups, step and state_dict (Lookahead,
                  SAM, a framework's own); it stays usable, and shares param_groups, state and defaults with this one:
                  schedulers, GradScaler and checkpoints take either. A checkpoint is the inner optimizer's own
    trust_coefficient  the library's eta
    clip          True: lr*r is min(lr, r), LARS' rate capped at lr; False: r itself is the factor
    fold_weight_decay  apex's semantics (beside zero_norm="untouched"): the group's weight_decay is in the norm and
                  inside the factor, g = r*(g + weight_decay*w), and the inner optimizer's is 0 while it steps; its
                  maximize likewise. "gradient": the same, with |g + weight_decay*w| in r; "both": with
                  weight_decay*|w| too. False: the inner optimizer decays as it always does
    eps, min_update, max_update, zero_norm, zero_grad_norm, weight_norm_threshold
                  as in `layerwise.Plan.larc_scale`; layerwise.h explains each under its name
    skip_larc     True: r is 1; a function of name and parameter that says it of each, or one value for all. A group may
                  hold its own, True or one for each of its parameters
    always_adapt  False: r is 1 too for parameters that do not decay, whose weight_decay is 0: timm's rule
    group_multipliers  whose lr_mult and wd_mult are where a group or a checkpoint has such a key, as of `NovoGrad`:
                  "refuse", "apply": lr and weight_decay are taken times it, for an optimizer that multiplies by it
                  itself, or "ignore". An inner `NovoGrad` or `LARCSGD` says it for both
    threads       CPU threads, the caller's included; 0: torch.get_num_threads(), whenever a step runs

    Layers that are cut over ranks are as of `NovoGrad`: DTensors, or pieces of an engine's flat parameters.

    A step scales the gradients in place: a second step without new gradients would scale them again. With a closure
    they are scaled each time it has run.

    Raises layerwise.ArgumentError (a ValueError), ValueError and TypeError for what the library refuses.
    """

    _stateful = False

    def __init__(self, optimizer: Optimizer, trust_coefficient: float = 0.002, clip: bool = True, eps: float = 1e-8, *,
                 min_update: float = 0.0, max_update: float = 0.0, fold_weight_decay: bool | str = False,
                 zero_norm: str = "keep", zero_grad_norm: str = "as_weight", weight_norm_threshold: float = 0.0,
                 skip_larc: Any = False, always_adapt: bool = True, group_multipliers: str = "refuse",
                 threads: int = 0) -> None:
        if not all(hasattr(optimizer, name) for name in ("param_groups", "step", "state_dict")):
            raise TypeError(f"optimizer is a {type(optimizer).__name__}: LARC wraps a torch.optim.Optimizer")
        options = {"trust_coefficient": trust_coefficient, "clip": clip, "eps": eps, "min_update": min_update,
                   "max_update": max_update, "fold_weight_decay": fold_weight_decay, "zero_norm": zero_norm,
                   "zero_grad_norm": zero_grad_norm, "weight_norm_threshold": weight_norm_threshold,
                   "skip_larc": skip_larc, "always_adapt": always_adapt, OPTION: group_multipliers, "threads": threads}
        make_plain(options)
        self.__setstate__({"optimizer": optimizer, "options": options})
        for group in self.param_groups:
            self._admit(group)

    @staticmethod
    def apex(optimizer: Optimizer, trust_coefficient: float = 0.02, clip: bool = True, eps: float = 1e-8) -> LARC:
        """apex.parallel.LARC with its arguments, defaults and rules: weight decay is in the norm and inside the factor,
        and where |w| or |g| is 0 the gradient stays as it is, undecayed. The same as
        `layerwise.torch.like("apex.parallel.LARC", optimizer)`."""
        from ._like import like

        made: LARC = like("apex.parallel.LARC", optimizer, trust_coefficient=trust_coefficient, clip=clip, eps=eps)
        return made

    # ---- The step ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Scales the gradients and steps the inner optimizer; returns what that returns. Raises as its step, and as
        `NovoGrad.step`."""
        if self._awaits_pieces and self._pieces is None:
            self._refuse_gradients()
            return None
        scale, found_inf = given_tensor(self, "grad_scale"), given_tensor(self, "found_inf")
        if closure is not None:
            return self._step_with(closure, scale, found_inf)
        accepted = self._begin()
        with self._inner_options(found_inf):
            self._scale(accepted, scale, found_inf)
            return self.optimizer.step()

    def _step_with(self, closure: Callable[[], Any], grad_scale: Any, found_inf: Any) -> Any:
        """The options are those that the closure leaves, as for the inner optimizer."""
        with contextlib.ExitStack() as hidden:

            def scaled() -> Any:
                hidden.close()
                with torch.enable_grad():
                    loss = closure()
                accepted = self._begin()
                hidden.enter_context(self._inner_options(found_inf))
                self._scale(accepted, grad_scale, found_inf)
                return loss

            return self.optimizer.step(scaled)

    @torch.compiler.disable
    def _begin(self) -> AllAccepted:
        if self._pieces is not None:
            self._pieces.bring()
            accepted: AllAccepted = self._pieces.inner._begin()  # type: ignore[attr-defined]  # a LARC
            return accepted
        if self._repetition is None:
            self._follow_cuts()
        with self._exchanges.told():
            return self._accept_all()

    @torch.compiler.disable
    def _scale(self, accepted: AllAccepted, grad_scale: Any, found_inf: Any, follower: Any = None) -> None:
        """follower: what steps then; None: the inner optimizer."""
        if self._pieces is not None:
            inner: Any = self._pieces.inner
            inner._scale(accepted, grad_scale, found_inf, self.optimizer)
            return
        follower = self.optimizer if follower is None else follower
        due = self._due(accepted, grad_scale, found_inf)
        if due is None and self._repetition is not None:
            self._follow_cuts()
        with self._exchanges.told():
            calls = self._look(accepted) if due is None else []
            self._refuse_expanded(calls)
            if isinstance(follower, LayerwiseOptimizer):  # it refuses before gradients are scaled
                follower._look_ahead()
        if due is None:
            found_inf, _ = self._exchanges.add_up(calls, grad_scale, found_inf)
            if isinstance(found_inf, Tensor):
                follower.found_inf = found_inf  # of all ranks: the gradients are unscaled on none
        self._run(due or calls, accepted, grad_scale, found_inf)

    def _refuse_expanded(self, calls: Sequence[Call]) -> None:
        """Raises ValueError for a gradient that cannot be written in place."""
        for call in calls:
            for layer, grad in zip(call.tensors.layers, call.tensors.grads, strict=True):
                if not grad.is_contiguous() and 0 in grad.stride():
                    names = [slot.name for _, slot in self._assignment.slots()
                             if slot.bucket is call.bucket and slot.layer == layer]
                    raise ValueError(
                        f"the gradient of {' and '.join(names)} has strides {grad.stride()}, elements that are the same "
                        "memory: LARC writes gradients, so it must be a copy, grad.clone()")

    @contextlib.contextmanager
    def _inner_options(self, found_inf: Any) -> Iterator[None]:
        """What the inner optimizer sees while it steps, and afterwards no more."""
        hidden: dict[str, Any] = _HIDDEN if self.options["fold_weight_decay"] else {}
        saved = [{name: group[name] for name in hidden if name in group} for group in self.param_groups]
        inner: Any = self.optimizer
        try:
            for group, values in zip(self.param_groups, saved, strict=True):
                group.update({name: hidden[name] for name in values})
            if isinstance(found_inf, Tensor):
                inner.grad_scale, inner.found_inf = None, found_inf  # the gradients are unscaled by now
            yield
        finally:
            for group, values in zip(self.param_groups, saved, strict=True):
                group.update(values)
            if isinstance(found_inf, Tensor):
                del inner.grad_scale, inner.found_inf

    def _merged(self, group: Group) -> Group:
        """A group with LARC's options beside the inner optimizer's."""
        folded = self.options["fold_weight_decay"]
        whose, always = self._whose(group), self.options["always_adapt"]
        return {**group, **self.options, OPTION: whose, "always_adapt": True,  # skip_larc says it from here on
                "skip_larc": skipped({**group, "always_adapt": always}, whose),
                "weight_decay": group.get("weight_decay", 0.0) if folded else 0.0,
                "maximize": bool(folded) and bool(group.get("maximize", False))}

    def _spec(self, group: Group) -> Spec:
        return Spec(threads=self.options["threads"])

    def _options(self, group: Group) -> dict[str, Any]:
        merged = self._merged(group)
        return {**larc_options(merged), "maximize": merged["maximize"]}

    def _launch(self, options: dict[str, Any], launch: Launch, moments: list[Tensor], steps: list[Tensor],
                per_layer: list[list[Tensor]]) -> None:
        _ops.run(_ops.larc_scale, **launch.arguments(), **_ops.split(options, _ops.LARC))

    @property
    def _values(self) -> Callable[[Group], tuple[Any, ...]]:
        own = [value for name, value in self._own_options.items() if name not in MULTIPLIERS]
        names = self._value_names
        return lambda group: (*own, *map(group.get, names))

    @property
    def _value_names(self) -> tuple[str, ...]:
        reads_decay = self.options["fold_weight_decay"] or not self.options["always_adapt"]
        return (OPTION, *MULTIPLIERS, *(_HIDDEN if reads_decay else ()))

    @property
    def _own_options(self) -> dict[str, Any]:
        return self.options

    def _multipliers(self, group: Group) -> dict[str, Any]:
        return super()._multipliers(self._merged(group))

    def _whose(self, group: Mapping[str, Any]) -> str:
        """An inner optimizer of this package says it itself."""
        return owner(group.get(OPTION, self.options[OPTION]), OPTION)

    def _settle(self, group: Group) -> None:
        whose = self._whose(group)
        if whose == "refuse" and not was_claimed(group):
            refuse_unclaimed(group, {})
        if self.options["skip_larc"] is not False:
            group.setdefault("skip_larc", self.options["skip_larc"])
        if not self.options["always_adapt"] and "weight_decay" not in group:
            raise ValueError("always_adapt is False, and a parameter group has no weight_decay that would say what is "
                             "left out of LARC")
        settle_multipliers(group, whose)

    def _prepare(self, group: Group) -> None:
        prepared = dict(group)
        self._settle(prepared)
        prepare_multipliers(prepared, self._whose(group))
        prepared["lr"] = learning_rate(prepared.get("lr"), "lr")
        if self.options["fold_weight_decay"] and "weight_decay" in prepared:
            prepared["weight_decay"] = number(prepared["weight_decay"], "weight_decay")
        options = dict(self.options)
        make_plain(options)
        self.options.update(options)
        self._try(self._merged(prepared))
        group.update(prepared)

    def _try(self, group: Group) -> None:
        with plan_without_elements(group) as plan:
            nothing = [np.zeros(0, np.float32)] * plan.layers
            plan.larc_scale(nothing, nothing, lr=float(learning_rate(group.get("lr"), "lr")), **larc_options(group))

    # ---- The inner optimizer's --------------------------------------------------------------------------------------

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        for group in groups:
            prepare_multipliers(group, self._whose(group))
        self.optimizer.param_groups = groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return getattr(self.optimizer, "state", {})

    @state.setter
    def state(self, state: Any) -> None:
        self.optimizer.state = state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        return getattr(self.optimizer, "defaults", {})

    @defaults.setter
    def defaults(self, defaults: dict[str, Any]) -> None:
        self.optimizer.defaults = defaults

    @property
    def clips(self) -> bool:
        """Whether the factor is cut to 1."""
        return bool(self.options["clip"])

    @property
    def _step_supports_amp_scaling(self) -> bool:  # type: ignore[override]
        return bool(getattr(self.optimizer, "_step_supports_amp_scaling", False))

    @_step_supports_amp_scaling.setter
    def _step_supports_amp_scaling(self, supports: bool) -> None:
        inner: Any = self.optimizer
        inner._step_supports_amp_scaling = supports

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.optimizer.add_param_group(param_group)
        try:
            self._admit(self.param_groups[-1])
        except BaseException:
            self.param_groups.pop()
            raise

    def _admit(self, group: Group) -> None:
        self._prepare(group)
        self._assignment.given.add(group)

    def zero_grad(self, *arguments: Any, **named: Any) -> None:
        if self._flat_gradients is None:
            self.optimizer.zero_grad(*arguments, **named)
        else:
            super().zero_grad(*arguments, **named)

    def _zero_each(self, set_to_none: bool) -> None:
        self.optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        if not self._runs_hooks:
            return self.optimizer.state_dict()
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        saved = self.optimizer.state_dict()
        for after in self._optimizer_state_dict_post_hooks.values():
            changed = after(self, saved)
            saved = saved if changed is None else changed
        return saved

    def load_state_dict(self, state_dict: Any) -> None:
        """The inner optimizer's; skip_larc and multipliers that state_dict lacks stay as they are."""
        if self._runs_hooks:
            for before in self._optimizer_load_state_dict_pre_hooks.values():
                changed = before(self, state_dict)
                state_dict = state_dict if changed is None else changed
        if self.options[OPTION] == "refuse" and not any(map(was_claimed, self.param_groups)):
            for group in _groups_of(state_dict):
                refuse_unclaimed(group, {}, "a parameter group of the checkpoint")
        previous = self.param_groups
        self.optimizer.load_state_dict(state_dict)
        for old, group in zip(previous, self.param_groups, strict=True):
            for name in MULTIPLIERS:
                if name in old:
                    group.setdefault(name, old[name])
        if self._runs_hooks:
            for after in self._optimizer_load_state_dict_post_hooks.values():
                after(self)

    def set_pieces(self, pieces: Mapping[Tensor, Sequence[Piece]], group: Any = None) -> None:
        """As of `NovoGrad`: gradients of flat parameters are scaled piece by piece, each by its whole layer's factor,
        for one all-reduce; the inner optimizer then steps the flat parameters, or, where it is one of this package's,
        their pieces too."""
        super().set_pieces(pieces, group)
        if isinstance(self.optimizer, LayerwiseOptimizer):
            self.optimizer.set_pieces(pieces, group)

    def _made_for_pieces(self, groups: list[Group]) -> LARC:
        holder = torch.optim.SGD(groups, lr=0.0)  # it has groups, and is never stepped
        return LARC(holder, **{**self.options, OPTION: "apply"})

    def init_state(self) -> None:
        """The inner optimizer's, where it has one; else raises TypeError."""
        if not hasattr(self.optimizer, "init_state"):
            raise TypeError(f"{type(self.optimizer).__name__} cannot make its state without a step")
        self.optimizer.init_state()

    def __getstate__(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "options": self.options, "_before_step": BeforeStep.of(self),
                "_packs_gradients": self._flat_gradients is not None,
                "_awaits_pieces": self._awaits_pieces or self._pieces is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.optimizer: Optimizer = state["optimizer"]
        self.options: dict[str, Any] = {"skip_larc": False, "always_adapt": True, OPTION: "refuse", **state["options"]}
        # A wrapper that never ran Optimizer.__init__ has no hooks: this one's are its own then, and it runs them.
        self._runs_hooks = not hasattr(self.optimizer, _SHARED_HOOKS[0])
        for name in _SHARED_HOOKS:
            setattr(self, name, getattr(self.optimizer, name, OrderedDict()))
        for name in _STEP_HOOKS:  # torch's own zero_grad makes every step look for them
            if not hasattr(self.optimizer, name):
                setattr(self.optimizer, name, OrderedDict())
        Optimizer.__setstate__(self, {})  # hooks of its own, and the profiler's
        self._reset()
        self._flat_gradients = FlatGradients() if state.get("_packs_gradients") else None
        self._awaits_pieces = state.get("_awaits_pieces", False)
        for hook in state.get("_before_step", ()):
            self.register_step_pre_hook(hook)
        for group in self.param_groups:
            self._assignment.given.add(group)

    def __repr__(self) -> str:
        return f"LARC ({', '.join(f'{name}: {value}' for name, value in self.options.items())})\n{self.optimizer!r}"


def _groups_of(state_dict: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parameter groups of a checkpoint; a wrapper's holds its optimizer's."""
    yield from state_dict.get("param_groups", ())
    for value in state_dict.values():
        if isinstance(value, Mapping) and "param_groups" in value:
            yield from _groups_of(value)
