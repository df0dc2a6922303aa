#!/usr/bin/env bash
# torch.optim.Optimizer.load_state_dict replaces a string in a parameter's state by the text of a generator.
#
# One would guess that a value that is no tensor comes back as it was saved. Seen with torch 2.13.0 and SGD: state["note"] =
# "mine" is "mine" in state_dict() and in the file, and "<generator object Optimizer.load_state_dict..." in the optimizer
# that loaded it, without an error; strings in a set or a dict alike. The loader walks into whatever can be iterated, to
# cast tensors in it, and rebuilds it as type(value)(generator): numbers, bytes, lists and tuples survive, a NumPy array
# or a NamedTuple ends in a TypeError. Who keeps a name or a dtype's name beside a parameter's state has lost it after the
# first resume.
#
# Needs python3 with venv, and a package index. Exits 1 where torch does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 numpy

venv/bin/python - <<'CODE'
import collections
import copy
import sys

import numpy as np
import torch

print("torch", torch.__version__)
Pair = collections.namedtuple("Pair", "first second")


def loaded(value):
    """What an entry of the state is in a new optimizer that has loaded the state dict, or the error."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], 0.1, momentum=0.9)
    parameter.grad = torch.ones(3)
    optimizer.step()
    optimizer.state[parameter]["note"] = value
    saved = copy.deepcopy(optimizer.state_dict())
    assert repr(saved["state"][0]["note"]) == repr(value)
    other = torch.optim.SGD([parameter], 0.1, momentum=0.9)
    try:
        other.load_state_dict(saved)
    except TypeError as problem:
        return problem
    return other.state[parameter]["note"]


as_seen = []
for value, expected in (("mine", "lost"), ({"a": "mine"}, "lost"), (3, "kept"), (b"mine", "kept"), ([1, 2.0], "kept"),
                        ((1, 2), "kept"), (Pair(1, 2), "TypeError"), (np.arange(3.0), "TypeError")):
    found = loaded(value)
    kind = ("TypeError" if isinstance(found, TypeError) else "lost" if "<generator object" in repr(found)
            else "kept" if repr(found) == repr(value) else "changed")
    print(f"{value!r:26} {kind:10} {found!r:.60}")
    as_seen.append(kind == expected)
sys.exit(0 if all(as_seen) else "torch does otherwise now")
CODE
