#!/usr/bin/env bash
# torch._foreach_* in place on a DTensor leaves its version as it was: autograd computes a wrong gradient in silence.
#
# One would guess that a write to a DTensor is seen as a write to a tensor is: autograd refuses to use a tensor that it
# saved and that was written since. Seen with torch 2.13.0, one gloo process: mul_, zero_ and the like raise the version
# of a DTensor and are refused, but the foreach functions that foreach optimizers and clip_grad_norm_ are made of do
# not, and neither do writes to its local tensor. The gradient of sum(w*x) for x = (1, 2, 3) that was multiplied by 10
# in between is (10, 20, 30), without an error. Who asks `_version` whether a gradient has changed since it was looked
# at (to use a norm again that was worked out while clipping, say) is told that it has not. A change that raises it was
# proposed in pytorch's pull request 197502.
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
import tempfile
import warnings

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

warnings.simplefilter("ignore")
print("torch", torch.__version__)
dist.init_process_group("gloo", init_method=f"file://{tempfile.mkdtemp()}/store", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))


def gradient(cut, write):
    """Of sum(w*x) for w, where x is written between forward and backward; None where autograd refuses."""
    def made():
        values = torch.tensor([1.0, 2.0, 3.0])
        return distribute_tensor(values, mesh, [Shard(0)]) if cut else values

    w, x = made().requires_grad_(), made()
    y = (w * x).sum()
    with torch.no_grad():
        write(x)
    try:
        y.backward()
    except RuntimeError:
        return None
    return (w.grad.full_tensor() if cut else w.grad).tolist()


def clipped_version(cut, foreach):
    """By how much clipping raises the version of a gradient."""
    p = torch.nn.Parameter(distribute_tensor(torch.ones(3), mesh, [Shard(0)]) if cut else torch.ones(3))
    p.grad = torch.full_like(p, 5.0)
    before = p.grad._version
    torch.nn.utils.clip_grad_norm_([p], 1.0, foreach=foreach)
    return p.grad._version - before


writes = {"mul_": lambda x: x.mul_(10), "_foreach_mul_": lambda x: torch._foreach_mul_([x], 10.0),
          "_foreach_zero_": lambda x: torch._foreach_zero_([x])}
found = {}
for name, write in writes.items():
    found[name] = gradient(False, write), gradient(True, write)
    plain, cut = (each or "refused" for each in found[name])
    print(f"{name:15} gradient of a plain tensor: {plain}; of a DTensor: {cut}")
versions = [clipped_version(cut, foreach) for cut in (False, True) for foreach in (False, True)]
print("clip_grad_norm_ raises a gradient's version, plain, plain by foreach, DTensor, DTensor by foreach:", *versions)
dist.destroy_process_group()
as_seen = (found == {"mul_": (None, None), "_foreach_mul_": (None, [10.0, 20.0, 30.0]),
                     "_foreach_zero_": (None, [0.0, 0.0, 0.0])}
           and versions[0] > 0 and versions[1] > 0 and versions[2] > 0 and versions[3] == 0)
sys.exit(0 if as_seen else "torch does otherwise now")
CODE
