"""OpenSeq2Seq's learning-rate policies."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Policy = Callable[[int], float]


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
    def at(step: int) -> float:
        exponent = max(step - begin_decay_at, 0) / decay_steps
        decay: float = decay_rate ** (math.floor(exponent) if use_staircase_decay else exponent)
        return max(learning_rate * decay, min_lr)

    return at


def poly_decay(learning_rate: float, decay_steps: int, power: float = 1.0, begin_decay_at: int = 0,
               min_lr: float = 0.0, warmup_steps: int = 0) -> Policy:
    def at(step: int) -> float:
        left: float = (1 - _progress(step, begin_decay_at, decay_steps)) ** power
        return _warmed(step, warmup_steps) * (min_lr + (learning_rate - min_lr) * left)

    return at


def cosine_decay(learning_rate: float, decay_steps: int, power: float = 1.0, begin_decay_at: int = 0,
                 min_lr: float = 0.0, warmup_steps: int = 0) -> Policy:
    """min_lr is a fraction of the learning rate, and power does nothing, as there."""
    def at(step: int) -> float:
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


def openseq2seq_schedule(config: Mapping[str, Any], steps_per_epoch: int | None = None) -> Policy:
    """The learning rate of every step as OpenSeq2Seq's configuration asks for it.

        optimizer = layerwise.from_openseq2seq(config, model.named_parameters())
        rate, peak = layerwise.openseq2seq_schedule(config, steps_per_epoch=1000), optimizer.defaults["lr"]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step) / peak)

    config           "lr_policy", the function or its name, and "lr_policy_params": each with the meaning and the
                     defaults that it has there. Without decay_steps the decay ends with the training, and begins after
                     the warm-up: "max_steps", or "num_epochs" times steps_per_epoch
    steps_per_epoch  steps in an epoch: needed where the configuration counts in epochs

    Returns a function of the step, from 0. Raises ValueError naming an unknown policy or parameter, or a missing one.
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
        params.update({"decay_steps": _last_step(config, steps_per_epoch) - begin, "begin_decay_at": begin})
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
    return policy if policy is None or isinstance(policy, str) else str(getattr(policy, "__name__", policy))


def _last_step(config: Mapping[str, Any], steps_per_epoch: int | None) -> int:
    if config.get("max_steps") is not None:
        return int(config["max_steps"])
    if config.get("num_epochs") is None:
        raise ValueError("lr_policy_params lacks decay_steps, and config max_steps and num_epochs, from one of which it "
                         "would follow")
    return int(config["num_epochs"]) * _needed(steps_per_epoch, "decay_steps follows from num_epochs")


def _needed(steps_per_epoch: int | None, why: str) -> int:
    if steps_per_epoch is None:
        raise ValueError(f"steps_per_epoch is None: {why}")
    return steps_per_epoch


def _progress(step: int, begin: int, steps: int) -> float:
    """0 until the decay begins, 1 from its end on."""
    return min(max(step - begin, 0), steps) / steps


def _warmed(step: int, warmup_steps: int) -> float:
    return step / warmup_steps if step < warmup_steps else 1.0
