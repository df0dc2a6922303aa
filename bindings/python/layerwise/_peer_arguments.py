"""What a peer of the table was told: its name found, its arguments completed or refused, ours made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ._peers import CHAINS, NO_LAMB, NOT_SERVED, PEERS, REQUIRED, Inner, Link, Of, Peer

# What a group may say of its own parameters, for peers that have no groups and go by names or masks.
STATED = {"decayed": ("undecayed", False), "adapted": ("unscaled", False), "excluded": ("both", True),
          "skipped": ("both", True)}
LABEL = "label"


@dataclass(frozen=True)
class Told:
    """A peer and all of its arguments, with those of an inner optimizer that is taken into the same step.

    labels      of optax.partition: what the groups with each label are told
    inner_name  the class of the inner optimizer, where the name says it: "torchlars.LARS(torch.optim.SGD)"
    source      what it is made of again
    """

    peer: Peer
    arguments: Mapping[str, Any]
    inner: Inner | None = None
    labels: Mapping[str, Mapping[str, Any]] | None = None
    param_labels: Any = None
    inner_name: str | None = None
    source: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Made again from what was asked: the table's functions are in no pickle."""
        return _told_again, self.source

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def option_table(self) -> dict[str, Any]:
        return {**self.peer.options, **(self.inner.options if self.inner else {})}

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Ours, by the peer's arguments; lr as it was given."""
        return {name: value(given) if isinstance(value, Of) else value for name, value in self.option_table.items()}

    def words(self) -> dict[str, str]:
        """What the peer calls our options, for messages."""
        found = {option: value.arguments[0] for option, value in self.option_table.items()
                 if isinstance(value, Of) and value.is_the_argument}
        betas = self.option_table.get("betas")
        if isinstance(betas, Of) and len(betas.arguments) == 2:
            found.update({f"betas[{index}]": argument for index, argument in enumerate(betas.arguments)})
        return {self.peer.ours: self.name} | {ours: theirs for ours, theirs in found.items() if ours != theirs}

    def without_effect(self, argument: str) -> bool:
        return argument in self.peer.without_effect or bool(self.inner and argument in self.inner.without_effect)


def class_name(given: Any) -> Any:
    """The name of a class that was given itself."""
    return f"{given.__module__}.{given.__qualname__}" if isinstance(given, type) else given


def find(name: str) -> tuple[Peer, Mapping[str, Any]]:
    """The peer of a name, and the arguments that the name stands for. Raises TypeError, ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}: it must be the name of a class, as it is imported")
    path = re.match(r"\s*([\w.]*)", name)
    asked = path[1] if path else ""
    for peer in PEERS:
        if asked in peer.registered:
            return peer, peer.registered[asked]
        if asked in peer.names:
            return peer, {}
    found = [peer for peer in PEERS if any(_is_short_for(asked, full) for full in peer.names)]
    if len(found) == 1:
        return found[0], {}
    if found:
        raise ValueError(f"{asked!r} is the name of {', '.join(peer.name for peer in found)}: say which")
    for full, reason in NOT_SERVED.items():
        if _is_short_for(asked, full):
            raise ValueError(f"{full} is not served: {reason}")
    if "lamb" in asked.rpartition(".")[2].lower():
        raise ValueError(f"{asked} is not served: {NO_LAMB}")
    raise ValueError(f"{asked or name!r} is no name of the table: it has {', '.join(peer.name for peer in PEERS)}")


def is_known(name: str) -> bool:
    """Whether a name is one of the table."""
    try:
        find(name)
    except ValueError:
        return False
    return True


def _is_short_for(asked: str, full: str) -> bool:
    """Whether the parts of a path are some of another's, in their order, to the class itself."""
    parts = iter(reversed(full.split(".")))
    wanted = asked.split(".")
    return wanted[-1] == full.rpartition(".")[2] and all(part in parts for part in reversed(wanted))


def told(name: str, arguments: Mapping[str, Any]) -> Told:
    """Raises TypeError for arguments that the peer does not have, ValueError for those that are not served."""
    kind = re.match(r"\s*optax\.(chain|partition|multi_transform)\b", name) if isinstance(name, str) else None
    if kind:
        asked = _chain(arguments) if kind[1] == "chain" else _partition(arguments)
    else:
        peer, registered = find(name)
        asked = _complete(peer, {**registered, **arguments})
    wrapped = re.search(r"\(([\w.]+)\)\s*$| with ([\w.]+)\s*$", name)
    return replace(asked, source=(name, dict(arguments), None, None),
                   inner_name=(wrapped[1] or wrapped[2]) if wrapped and asked.peer.inner else None)


def _told_again(name: str, arguments: Mapping[str, Any], inner: str | None, inner_arguments: Any) -> Told:
    asked = told(name, arguments)
    return asked if inner is None else with_inner(asked, inner, inner_arguments) or asked


def _complete(peer: Peer, arguments: Mapping[str, Any]) -> Told:
    arguments = dict(arguments)
    hook = arguments.pop("hook", None)
    if hook is not None:
        if find(hook["class"])[0] is not peer:
            raise ValueError(f"hook is a {hook['class']}: it must be {peer.name}")
        arguments |= hook.get("arguments", {})
    refuse_unknown(peer.name, arguments, peer.arguments)
    given = {**peer.arguments, **arguments}
    for name, value in given.items():
        if value is REQUIRED and name not in _rates(peer):
            raise TypeError(f"{peer.name} needs {name}")
    for name in peer.served:
        refuse_unserved(peer, name, given[name])
    if peer.gradient_divisor is not None:
        peer.gradient_divisor(given)  # refuses what it cannot be of
    return Told(peer, given)


def with_inner(asked: Told, name: str, arguments: Mapping[str, Any]) -> Told | None:
    """With the arguments of an inner optimizer that is taken into the same step; None where it is not one of those."""
    name = re.sub(r"^torch\.optim\.\w+\.", "torch.optim.", name)  # SGD's own module
    found = next((each for each in asked.peer.inner if each == name or _is_short_for(name, each)), None)
    if found is None:
        return None
    inner = asked.peer.inner[found]
    refuse_unknown(found, arguments, inner.arguments)
    return replace(asked, inner=inner, arguments={**asked.arguments, **inner.arguments, **arguments},
                   source=(*asked.source[:2], name, dict(arguments)))


def refuse_unknown(name: str, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for argument in arguments:
        if argument not in known:
            raise TypeError(f"{name} has no argument {argument!r}; it has {', '.join(known)}")


def refuse_unserved(peer: Peer, name: str, value: Any) -> None:
    allowed, reason = peer.served[name]
    if not any(value is one or (isinstance(value, (bool, int, float, str)) and value == one) for one in allowed):
        raise ValueError(f"{peer.name} with {name}={value!r} is not served: {reason}")


def _rates(peer: Peer) -> tuple[str, ...]:
    """The arguments that a learning rate is made of; groups may give it instead."""
    lr = peer.options.get("lr")
    return lr.arguments if isinstance(lr, Of) else ()


def peer_keys(asked: Told) -> set[str]:
    """What a group may say in the peer's own words."""
    if asked.peer.has_groups:
        return {*(asked.inner or asked.peer).arguments, *asked.peer.group_keys}
    return {*asked.arguments, *asked.peer.group_keys, *STATED, LABEL, "lr"}


def others_keys(asked: Told) -> set[str]:
    """What groups of other peers have, and none of this one's: keys that would say whose a checkpoint is."""
    kinds: list[Peer | Inner] = [*PEERS, *(inner for peer in PEERS for inner in peer.inner.values())]
    known = {argument for kind in kinds for argument in kind.arguments if argument not in kind.without_effect}
    return known - peer_keys(asked)


def group_arguments(asked: Told, group: Mapping[str, Any], label: Any = None) -> dict[str, Any]:
    """All that the peer is told of one group. Raises ValueError, TypeError."""
    given = dict(asked.arguments)
    if asked.labels is not None:
        given = dict(asked.labels[label])
    for name, default in asked.peer.group_keys.items():
        given[name] = default(given) if isinstance(default, Of) else default
    given |= {name: value for name, value in group.items() if name in peer_keys(asked)}
    if "lr" in group:
        given |= dict.fromkeys(_rates(asked.peer)[-1:], group["lr"])
    for name in asked.peer.served:
        refuse_unserved(asked.peer, name, given[name])
    return given


def left_out(asked: Told, given: Mapping[str, Any], kind: str, name: str | None, parameter: Any) -> bool:
    """Whether a parameter is left out of decay ("undecayed") or of the ratio ("unscaled"): what its group says, else
    what the peer's rules do. Raises ValueError where those go by names and there is none."""
    stated = [value == meant for key, (what, meant) in STATED.items()
              if (value := given.get(key)) is not None and what in (kind, "both")]
    if stated:
        return any(stated)
    for rule in getattr(asked.peer, kind):
        if name is None and rule.by_name:
            if rule.arguments and not any(given[each] for each in rule.arguments):
                continue
            raise ValueError(f"{asked.name} goes by names{''.join(f', by {each}' for each in rule.arguments[:1])}: "
                             "give params as pairs of name and parameter, model.named_parameters()")
        if rule(given, name, parameter):
            return True
    return False


# ---- optax's chain and partition ------------------------------------------------------------------------------------

def _chain(arguments: Mapping[str, Any]) -> Told:
    refuse_unknown("optax.chain", arguments, {"chain": None})
    elements = [(_name(element), element.get("arguments", {})) for element in arguments.get("chain", ())]
    if len(elements) == 1:
        return told(elements[0][0], elements[0][1])
    names = [name for name, _ in elements]
    entry, links = next(((entry, links) for entry, links in CHAINS.items() if _is_chain(names, links)), (None, ()))
    if entry is None:
        raise ValueError(f"optax.chain of {', '.join(names)} is not served: it must be of " + ", or of ".join(
            ", ".join(link.name for link in links) for links in CHAINS.values()))
    given: dict[str, Any] = {}
    state = []
    for name, values in elements:
        link = next(link for link in links if link.name == name)
        refuse_unknown(name, values, link.arguments)
        if name == "optax.add_decayed_weights" and given.get("weight_decay"):
            raise ValueError("optax.chain with decay in two of its transformations is not served")
        given |= {**link.defaults, **{link.arguments[argument]: value for argument, value in values.items()}}
        state.append(link.unmasked if link.unmasked and values.get("mask") is None else link.state)
    peer, _ = find(entry)
    if entry == "optax.scale_by_novograd":
        given["adds_decayed_weights"] = "optax.add_decayed_weights" in names
    elif "optax.trace" not in names:
        given["momentum"] = 0.0
    return _complete(replace(peer, state=state), given)


def _is_chain(names: Sequence[str], links: Sequence[Link]) -> bool:
    """Whether the links are these, in their order, without some that are not needed."""
    return names == [link.name for link in links if link.name in names] and all(
        link.name in names for link in links if link.needed)


def _name(element: Mapping[str, Any]) -> str:
    if not isinstance(element, Mapping) or "class" not in element:
        raise TypeError(f"{element!r} must be a dictionary of class and arguments")
    return str(class_name(element["class"]))


def _partition(arguments: Mapping[str, Any]) -> Told:
    refuse_unknown("optax.partition", arguments, {"transforms": None, "param_labels": None})
    labels = {label: told(_name(element), element.get("arguments", {}))
              for label, element in arguments.get("transforms", {}).items()}
    if not labels:
        raise TypeError("optax.partition needs transforms")
    first = next(iter(labels.values()))
    if any(each.peer.name != first.peer.name for each in labels.values()):
        raise ValueError(f"optax.partition of {', '.join(each.name for each in labels.values())} is not served: its "
                         "transforms must be of one kind")
    state = {"type": "PartitionState", "inner_states": {
        "{label}": {"type": "MaskedState", "inner_state": first.peer.state}}}
    return Told(replace(first.peer, state=state), first.arguments,
                labels={label: each.arguments for label, each in labels.items()},
                param_labels=arguments.get("param_labels"))
