"""The page of other libraries' names: python -m layerwise.torch._peer_table > PEERS.md"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from .._openseq2seq import LARC_KEYS, OPTIMIZER_KEYS
from .._peers import NO_LAMB, NOT_SERVED, PEERS, REQUIRED, Of, Peer
from ._larc import LARC
from ._larc_sgd import LARCSGD
from ._novograd import NovoGrad

_CLASSES: dict[str, Any] = {"NovoGrad": NovoGrad, "LARCSGD": LARCSGD, "LARC": LARC}
_OF_FLAGS = {"seed_second_moment": {True: "while_zero", False: "off"}, "decoupled_weight_decay": {False: "off"}}
_HEAD = """# In anyone's place: names, defaults and differences

`layerwise.torch.like(name, params, **arguments)` takes the names and arguments on the left, with their defaults beside
them; this page says what they are here. It is made from the table that `like` reads: `python -m
layerwise.torch._peer_table > PEERS.md`.

Each is held to its own numbers: `tests/test_torch_like.py` replays runs of the peers' own code to 2e-6 of the layer's
largest weight, from the start and from their checkpoints.

"By our own names" in each section is the call of this package that has the other's defaults: what stands in it is where
the defaults differ. `layerwise.torch.LARC.apex(optimizer, ...)` is apex's LARC.

## What a default does to a run

Who changes the class's name alone and keeps the arguments gets this package's defaults. `tests/test_peer_defaults.py`
holds each line.

| option | here | elsewhere | what that does |
|---|---|---|---|
| `weight_decay` | 0.001, NovoGrad's paper | 0: timm, NeMo, pytorch_optimizer, optax, TensorFlow Addons, apex | a weight without gradient falls by lr * 0.001 * 20 a step with beta1 0.95: at lr 0.01 to 0.37 of itself in 5000 steps |
| `grad_averaging` | False | True: apex | the momentum, and with it every step, is 1 - beta1 of what it is without: lr must be 20 times as large with beta1 0.95 |
| `betas` | (0.95, 0.98) | (0.9, 0.999): TensorFlow Addons, apex | after a constant gradient the step is 1/(1 - beta1) times lr: 10 instead of 20. v forgets in 1000 steps instead of 50 |
| `bias_correction` | False | True: apex | with `grad_averaging` the first step is lr instead of lr * (1 - beta1) |
| `seed_second_moment` | while v is 0 | on the first step: optax, TensorFlow Addons, apex | a layer whose first gradient is 0 takes a second step that is 1/sqrt(1 - beta2) times as large there, 7.1 times with beta2 0.98 |
| `betas[1]` | 0.98 | 0: torch-optimizer | v is the square of this step's norm alone: every step has the length of a normalized gradient, however small that is |
| `trust_coefficient` | 0.002, OpenSeq2Seq's | 0.001: timm, lightly, optax; 0.02: apex | r, and with it the least lr that clipping leaves alone, is proportional to it |
| `fold_weight_decay` | False | in the norm and inside the factor: apex, timm; the decayed gradient's norm: optax | without folding the decay is not scaled by r: at r = 0.01 it is 100 times as strong beside the gradient |
| `zero_norm` | "keep" | "untouched": apex, lightly | a layer whose gradient is 0 is decayed here as without LARC, and stays as it is there |
"""


def page() -> str:
    return "\n".join([_HEAD, *_openseq2seq(), *(line for peer in PEERS for line in _section(peer)), *_not_served()])


def _section(peer: Peer) -> Iterator[str]:
    yield f"## {peer.name}\n"
    yield f"{peer.version}; here `{peer.ours}`" + (
        ", or `LARCSGD` where the optimizer inside is one of its own SGDs" if peer.ours == "LARC" else "") + "."
    if peer.also or peer.registered:
        yield "Also " + ", ".join(f"`{name}`" for name in (*peer.also, *peer.registered)) + "."
    if peer.differs:
        yield f"What differs: {peer.differs}."
    own = by_our_own_names(peer)
    if own is not None:
        yield f"By our own names: `{own}`."
    yield "\n| name there | default there | name here | default here |\n|---|---|---|---|"
    for name, default in {**peer.arguments, **peer.group_keys}.items():
        key = f"`{name}`" + ("" if name in peer.arguments else " of a group")
        shown = "" if default is REQUIRED else f"as `{default.arguments[0]}`" if isinstance(default, Of) else (
            f"`{default!r}`")
        yield f"| {key} | {shown} | {' | '.join(_here(peer, name))} |"
    for option, value in peer.options.items():
        if not isinstance(value, Of) and value is not None and not _is_the_default(peer, option, value):
            yield f"| | | `{option}={value!r}` always | {_shown(_default(peer, option))} |"
    yield ""


def by_our_own_names(peer: Peer) -> str | None:
    """The call of this package's class that has the peer's defaults; None where arguments without a default decide, or
    what follows the learning rate, or names of parameters."""
    if peer.undecayed or peer.unscaled or peer.follows:
        return None
    given = {**peer.arguments, **peer.group_keys}
    shown = []
    for option, value in peer.options.items():
        if isinstance(value, Of):
            needed = [given[argument] for argument in value.arguments]
            if option == "lr" or any(default is REQUIRED or isinstance(default, Of) for default in needed):
                continue
            value = value(given)
        if value is not None and not _is_the_default(peer, option, value):
            shown.append(f"{option}={value!r}")
    first = "optimizer" if peer.ours == "LARC" else "params, lr"
    return f"{peer.ours}({', '.join([first, *shown])})"


def _openseq2seq() -> Iterator[str]:
    """Its optimizers' arguments, as from_openseq2seq reads them."""
    yield "## OpenSeq2Seq\n"
    yield ("`layerwise.from_openseq2seq(config, params, as_run=False)` takes its dictionaries whole; README says what "
           "`as_run=True` computes. `beta1` and `beta2` together are `betas`.")
    yield "\n| dictionary | key there | name here |\n|---|---|---|"
    for name, keys in OPTIMIZER_KEYS.items():
        for key, here in keys.items():
            yield f"| `optimizer_params` of `{name}` | `{key}` | {_of_betas(here)} |"
    for key, here in LARC_KEYS.items():
        yield f"| `larc_params` | `{key}` | `{here}` |"
    yield "| `regularizer_params` | `scale` | `weight_decay`, or part of the gradient where its norm has to have it |"
    yield ""


def _of_betas(here: str) -> str:
    return f"`betas[{int(here == 'beta2')}]`" if here in ("beta1", "beta2") else f"`{here}`"


def _here(peer: Peer, argument: str) -> tuple[str, str]:
    """What an argument is here, and the default of that."""
    made = {option: value for option, value in peer.options.items()
            if isinstance(value, Of) and argument in value.arguments}
    found = {option: value for option, value in made.items() if value.arguments[0] == argument} or made
    if len(found) == 1 and next(iter(found.values())).is_the_argument:
        option = next(iter(found))
        return f"`{option}`", _shown(_default(peer, option))
    said = [f"`{option}`" for option in found]
    said += [f"`{option}` of the parameters that it leaves out" for option, rules in
             (("wd_mult", peer.undecayed), ("skip_larc", peer.unscaled))
             if any(argument in rule.arguments for rule in rules)]
    if argument in peer.served:
        allowed, reason = peer.served[argument]
        said.append(f"{' or '.join(f'`{value!r}`' for value in allowed)} alone: {reason}")
    if argument in peer.without_effect:
        said.append("changes no number")
    if peer.gradient_divisor is not None and argument in peer.gradient_divisor.arguments:
        said.append("`grad_scale`, its inverse")
    if argument in peer.follows or argument == "max_lr_snapshot":
        said.append("decay or rate that follows `lr` at each step")
    if argument in ("optimizer", "hook"):
        said.append("the optimizer inside, as an instance or as class and arguments" if argument == "optimizer"
                    else "its arguments, as class and arguments")
    defaults = [_shown(_default(peer, option)) for option in found]
    return "; ".join(said) or "kept as it is", ", ".join(defaults)


def _default(peer: Peer, option: str) -> Any:
    ours = _CLASSES["LARCSGD" if peer.inner and peer.ours == "LARCSGD" else peer.ours]
    known = inspect.signature(ours).parameters
    return known[option].default if option in known else ""


def _is_the_default(peer: Peer, option: str, value: Any) -> bool:
    default = _default(peer, option)
    names = {choice: value for value, choice in (_OF_FLAGS.get(option) or {}).items()}
    return bool(value == default or (value in names and names[value] == default))


def _shown(value: Any) -> str:
    return "" if value == "" or value is None else f"`{value!r}`"


def _not_served() -> Iterator[str]:
    yield "## Not served\n"
    yield from (f"- `{name}`: {reason}" for name, reason in NOT_SERVED.items())
    yield f"- LAMB, of any library: {NO_LAMB}"


if __name__ == "__main__":
    print(page())
