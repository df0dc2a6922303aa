"""The page of other libraries' names: python -m layerwise.torch._peer_table > PEERS.md"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

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
"""


def page() -> str:
    return "\n".join([_HEAD, *(line for peer in PEERS for line in _section(peer)), *_not_served()])


def _section(peer: Peer) -> Iterator[str]:
    yield f"## {peer.name}\n"
    yield f"{peer.version}; here `{peer.ours}`" + (
        ", or `LARCSGD` where the optimizer inside is one of its own SGDs" if peer.ours == "LARC" else "") + "."
    if peer.also or peer.registered:
        yield "Also " + ", ".join(f"`{name}`" for name in (*peer.also, *peer.registered)) + "."
    if peer.differs:
        yield f"What differs: {peer.differs}."
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
