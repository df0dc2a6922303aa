#!/usr/bin/env bash
# Two Lookaheads of the same k and alpha end at other weights: timm's takes its slow weights from the first synchronisation.
#
# One would guess that every Lookahead starts its slow weights where training starts, as the paper does (arXiv 1907.08610,
# algorithm 1). Seen with SGD of lr 1 and gradients of 1 from weights of 0, k = 2, alpha = 0.5: after the first two steps the
# fast weights are -2, and the slow ones should be pulled to -1. pytorch_optimizer 3.10.1's are. timm 1.0.31's are made at
# that moment as a copy of the fast ones, so that the first synchronisation changes nothing: -2. From then on both move by
# -1 in two steps, and stay apart. A run that moves from one to the other, or that is repeated by hand, is another run.
#
# Needs python3 with venv, and a package index. Exits 1 where either does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 numpy
venv/bin/python -m pip install -q --no-deps timm==1.0.31 pytorch_optimizer==3.10.1

venv/bin/python - <<'CODE'
import importlib.metadata
import importlib.util
import sys
import warnings

import torch

warnings.simplefilter("ignore")
from pytorch_optimizer import Lookahead

# timm's own file: its package needs torchvision, which this does not.
path = importlib.metadata.distribution("timm").locate_file("timm/optim/lookahead.py")
spec = importlib.util.spec_from_file_location("timm_lookahead", path)
timm_lookahead = importlib.util.module_from_spec(spec)
spec.loader.exec_module(timm_lookahead)


def walk(wrap):
    """The weight after each of six steps."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer, seen = wrap(torch.optim.SGD([weight], 1.0)), []
    for _ in range(6):
        weight.grad = torch.ones(1)
        optimizer.step()
        seen.append(float(weight.detach()))
    return seen


found = {
    "timm": walk(lambda inner: timm_lookahead.Lookahead(inner, alpha=0.5, k=2)),
    "pytorch_optimizer": walk(lambda inner: Lookahead(inner, k=2, alpha=0.5)),
}
print("torch", torch.__version__)
for name, weights in found.items():
    print(f"{name:18} {importlib.metadata.version(name):8} {weights}")
as_seen = {"timm": [-1.0, -2.0, -3.0, -3.0, -4.0, -4.0], "pytorch_optimizer": [-1.0, -1.0, -2.0, -2.0, -3.0, -3.0]}
sys.exit(0 if found == as_seen else "one of them does otherwise now")
CODE
