"""OpenSeq2Seq's learning-rate policies."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._openseq2seq import name_of

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

Policy = Callable[[float], float]


def fixed_lr(learning_rate: float) -> Policy:
    return lambda step: learning_rate


def piecewise_constant(learning_rate: float, boundaries: Sequence[float], decay_rates: Sequence[float],
                       steps_per_epoch: int = 1) -> Policy:
    if len(boundaries) != len(decay_rates):
        raise ValueError(f"boundaries has {len(boundaries)} values and decay_rates {len(decay_rates)}: it must be one "
                         "rate for each boundary")
    ends = [boundary * steps_per_epoch for boundary in boundaries]
    rates = [1.0, *decay_rates]
    return lambda step: learning_rate * rates[sum(step > end for end in ends)]  # the old one still at the boundary


def exp_decay(learning_rate: float, decay_steps: int, decay_rate: float, use_staircase_decay: bool,
              begin_decay_at: int = 0, min_lr: float = 0.0) -> Policy:
    def at(step: float) -> float:
        exponent = max(step - begin_decay_at, 0) / decay_steps
        decay: float = decay_rate ** (math.floor(exponent) if use_staircase_decay else exponent)
        return max(learning_rate * decay, min_lr)

    return at


def poly_decay(learning_rate: float, decay_steps: int, power: float = 1.0, begin_decay_at: int = 0,
               min_lr: float = 0.0, warmup_steps: int = 0) -> Policy:
    def at(step: float) -> float:
        left: float = (1 - _progress(step, begin_decay_at, decay_steps)) ** power
        return _warmed(step, warmup_steps) * (min_lr + (learning_rate - min_lr) * left)

    return at


def cosine_decay(learning_rate: float, decay_steps: int, power: float = 1.0, begin_decay_at: int = 0,
                 min_lr: float = 0.0, warmup_steps: int = 0) -> Policy:
    """min_lr is a fraction of the learning rate, and power does nothing, as there."""
    def at(step: float) -> float:
        left = (1 + math.cos(math.pi * _progress(step, begin_decay_at, decay_steps))) / 2
        return _warmed(step, warmup_steps) * learning_rate * (min_lr + (1 - min_lr) * left)

    return at


def inv_poly_decay(learning_rate: float, decay_steps: int, min_lr: float, power: float = 1.0, begin_decay_at: int = 0,
                   warmup_steps: int = 0) -> Policy:
    """begin_decay_at and warmup_steps do nothing here, as there."""
    scale = ((learning_rate / max(min_lr, 1e-8)) ** (1 / power) - 1) / decay_steps
    return lambda step: float(learning_rate / (1 + scale * step) ** power)


def transformer_policy(learning_rate: float, d_model: int, warmup_steps: int, max_lr: float | None = None,
                       coefficient: float = 1.0) -> Policy:
    if warmup_steps <= 0 or d_model <= 0:
        raise ValueError(f"warmup_steps is {warmup_steps} and d_model {d_model}: both must be positive")
    peak = coefficient * learning_rate * d_model**-0.5
    most = math.inf if max_lr is None else max_lr
    return lambda step: float(min(peak * min((step + 1) * warmup_steps**-1.5, (step + 1) ** -0.5), most))


_POLICIES: dict[str, Callable[..., Policy]] = {policy.__name__: policy for policy in (
    fixed_lr, piecewise_constant, exp_decay, poly_decay, cosine_decay, inv_poly_decay, transformer_policy)}


def schedule_from_openseq2seq(config: Mapping[str, Any], optimizer: Optimizer, last_step: int | None = None,
                              steps_per_epoch: int | None = None, steps_taken: int = 0) -> LambdaLR:
    """The PyTorch scheduler that sets the learning rates of OpenSeq2Seq's configuration; needs PyTorch.

        optimizer = layerwise.from_openseq2seq(config, model.named_parameters())
        scheduler = layerwise.schedule_from_openseq2seq(config, optimizer, steps_per_epoch=len(batches))

    config, last_step, steps_per_epoch
                 as of `openseq2seq_schedule`
    optimizer    any. Its rates become the configuration's, whatever lr it was made with; a group whose lr is x times
                 the optimizer's own gets x times the rate
    steps_taken  steps that the run has behind it, where it goes on

    Call its step() after every step of the optimizer that was really taken: there an overflow of the loss scale leaves
    the schedule where it is. Raises ValueError as `openseq2seq_schedule`, and for an optimizer whose lr is 0.
    """
    from torch.optim.lr_scheduler import LambdaLR

    rate = openseq2seq_schedule(config, steps_per_epoch, last_step)
    peak = _own_rate(optimizer, config["lr_policy_params"]["learning_rate"])
    if peak == 0:
        raise ValueError("lr of the optimizer is 0: the scheduler multiplies it, so it must be another number, the "
                         "configuration's learning_rate, say")
    if steps_taken:
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
    return LambdaLR(optimizer, lambda step: rate(step) / peak, last_epoch=steps_taken - 1)


def _own_rate(optimizer: Optimizer, otherwise: float) -> float:
    """The lr that groups have which brought none of their own."""
    own, groups = optimizer.defaults.get("lr"), optimizer.param_groups
    if own is None:
        return float(otherwise)
    if isinstance(own, (int, float)) or "initial_lr" not in groups[0]:
        return float(own)
    first = {float(group["initial_lr"]) for group in groups}  # an earlier scheduler has written into the tensor
    if len(first) > 1:
        raise ValueError("lr of the optimizer is a tensor that an earlier scheduler wrote into, and groups have rates "
                         "of their own: make the scheduler of a new optimizer")
    return first.pop()


def openseq2seq_schedule(config: Mapping[str, Any], steps_per_epoch: int | None = None,
                         last_step: int | None = None) -> Policy:
    """The learning rate of every step as OpenSeq2Seq's configuration asks for it.

    config           "lr_policy", the function or its name, and "lr_policy_params": each with the meaning and the
                     defaults that it has there. Without decay_steps the decay ends with the training, and begins after
                     the warm-up
    steps_per_epoch  steps in an epoch, of the optimizer: batches divided by iter_size, rounded down, as there. Needed
                     where the configuration counts in epochs
    last_step        number of steps of the training; None: "max_steps", or "num_epochs" times steps_per_epoch

    Returns a function of the step, from 0; fractions are taken. `schedule_from_openseq2seq` makes PyTorch's scheduler
    of it. Raises ValueError naming an unknown policy or parameter, or a missing one.
    """
    name = policy_name(config)
    if name not in _POLICIES:
        raise ValueError(f"lr_policy is {config.get('lr_policy')!r}: it must be one of {', '.join(_POLICIES)}, or a "
                         "function of that name")
    known = inspect.signature(_POLICIES[name]).parameters
    params = dict(config.get("lr_policy_params") or {})
    unknown = [key for key in params if key not in known]
    if unknown:
        raise ValueError(f"lr_policy_params has unknown keys: {', '.join(map(repr, unknown))}; {name} knows "
                         f"{', '.join(known)}")
    if "decay_steps" in known and "decay_steps" not in params:
        begin = max(params.get("begin_decay_at", 0), params.get("warmup_steps", 0) if "warmup_steps" in known else 0)
        end = _last_step(config, steps_per_epoch) if last_step is None else last_step
        if end <= begin:
            raise ValueError(f"the training ends at step {end}, and the decay begins at {begin}: it must begin before")
        params.update({"decay_steps": end - begin, "begin_decay_at": begin})
    if "steps_per_epoch" in known and "steps_per_epoch" not in params and config.get("num_epochs") is not None:
        params["steps_per_epoch"] = _needed(steps_per_epoch, "boundaries are epochs")
    missing = [key for key, parameter in known.items() if parameter.default is parameter.empty and key not in params]
    if missing:
        raise ValueError(f"lr_policy_params lacks {', '.join(missing)}, which {name} needs")
    for key, value in params.items():
        if key not in ("boundaries", "decay_rates") and value is not None and not isinstance(value, (int, float)):
            raise TypeError(f"lr_policy_params[{key!r}] is {value!r}: it must be a number")
    if params.get("decay_steps", 1) <= 0:
        raise ValueError(f"decay_steps is {params['decay_steps']}: it must be positive")
    return _POLICIES[name](**params)


def policy_name(config: Mapping[str, Any]) -> str | None:
    policy = config.get("lr_policy")
    return None if policy is None else name_of(policy)


def _last_step(config: Mapping[str, Any], steps_per_epoch: int | None) -> float:
    steps, epochs = config.get("max_steps"), config.get("num_epochs")
    if steps is not None and epochs is not None:
        raise ValueError(f"config has max_steps {steps!r} and num_epochs {epochs!r}: give one of them, or last_step")
    if steps is not None:
        return float(steps)
    if epochs is None:
        raise ValueError("lr_policy_params lacks decay_steps, and config max_steps and num_epochs, from one of which it "
                         "would follow")
    return float(epochs * _needed(steps_per_epoch, "decay_steps follows from num_epochs"))


def _needed(steps_per_epoch: int | None, why: str) -> int:
    if steps_per_epoch is None:
        raise ValueError(f"steps_per_epoch is None: {why}")
    if steps_per_epoch <= 0:
        raise ValueError(f"steps_per_epoch is {steps_per_epoch}: it must be positive")
    return steps_per_epoch


def _progress(step: float, begin: int, steps: int) -> float:
    """0 until the decay begins, 1 from its end on."""
    return min(max(step - begin, 0), steps) / steps


def _warmed(step: float, warmup_steps: int) -> float:
    return step / warmup_steps if step < warmup_steps else 1.0
