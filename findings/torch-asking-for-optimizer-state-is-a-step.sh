#!/usr/bin/env bash
# torch.distributed.checkpoint asks a fresh optimizer for its state by stepping it, and the run that follows is another.
#
# One would guess that get_optimizer_state_dict only reads. Seen with torch 2.13.0, no process group: for an optimizer
# that has no state yet it sets every gradient to zero and lr to 0, steps, and puts lr back. Adam's step count is then 1,
# so that the first real step is corrected for bias as a second one and moves the weights by 0.74 of lr instead of lr;
# SGD with momentum and weight decay begins with a momentum buffer of weight_decay * w, which a run without the question
# does not have. SGD without decay, and any optimizer that has stepped, are untouched. A program that asks for the state
# once before it trains (to make a template, to compare structures) trains differently, without an error.
#
# Needs python3 with venv, and a package index. Exits 1 where torch does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 numpy

venv/bin/python - <<'CODE'
import sys
import warnings

import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

warnings.simplefilter("ignore")
print("torch", torch.__version__)


def first_step(make, asked):
    """How far the first real step moves a weight of 1 whose gradient is 1."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    optimizer = make(layer.parameters())
    if asked:
        get_optimizer_state_dict(layer, optimizer)
    layer.weight.grad = torch.ones(1, 1)
    optimizer.step()
    return float(1 - layer.weight.detach()), optimizer.state_dict()["state"].get(0, {})


makers = {
    "Adam": lambda p: torch.optim.Adam(p, 0.1),
    "SGD, momentum and decay": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.5),
    "SGD, momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
}
moved = {}
for name, make in makers.items():
    plain, asked = first_step(make, False), first_step(make, True)
    moved[name] = plain[0], asked[0]
    print(f"{name:24} moves by {plain[0]:.4f}, after the question by {asked[0]:.4f}; step {asked[1].get('step', '-')}")
adam, decayed, plain = (moved[name] for name in makers)
as_seen = (abs(adam[0] - 0.1) < 1e-4 and abs(adam[1] - 0.0744) < 1e-3 and abs(decayed[1] - decayed[0] - 0.045) < 1e-4
           and plain[0] == plain[1])
sys.exit(0 if as_seen else "torch does otherwise now")
CODE
