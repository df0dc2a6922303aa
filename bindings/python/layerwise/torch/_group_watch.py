"""Whether the options of an optimizer's groups are what they were when they were looked at one by one; compiled alone.

Compared are the options' own objects, as they lie in each group, but for lr, which must be a number: a group for every
parameter then costs little more than one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._calls import AllAccepted
from ._native import native


class GroupWatch:
    """Keeps no parameter alive."""

    @staticmethod
    def of(groups: Any, names: Sequence[str], own: dict[str, Any], accepted: AllAccepted) -> GroupWatch | None:
        """None where there is nothing compiled, or a group that it does not know how to look at: one whose lr is a
        tensor, say.

        groups    the optimizer's
        names     of the options that a step depends on in each group
        own       options that a step depends on beside them
        accepted  what was made of them
        """
        functions = native.functions
        if functions is None or not all(type(rate) is float for rate in accepted.rates):
            return None
        texts: dict[str, int] = {}
        numbers = tuple(texts.setdefault(each.text, len(texts)) for each in accepted.options)
        watch = functions.groups(groups, frozenset(names), own, numbers, tuple(accepted.labels))
        return None if watch is None else GroupWatch(watch, functions.rates, accepted)

    def __init__(self, watch: Any, rates: Any, accepted: AllAccepted) -> None:
        self._watch, self._rates = watch, rates
        self._options, self._labels = accepted.options, accepted.labels

    def look(self, groups: Any, own: dict[str, Any]) -> AllAccepted | None:
        """What was made of the options, with the rates as they are now; None where anything else has changed."""
        found = self._rates(self._watch, groups, own)
        if found is None:
            return None
        rates, parameters = found
        return AllAccepted(self._options, rates, parameters, self._labels)
