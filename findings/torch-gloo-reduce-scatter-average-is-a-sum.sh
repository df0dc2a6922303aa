#!/usr/bin/env bash
# Over gloo, torch 2.8.0 averages in all_reduce(AVG) and sums in reduce_scatter_tensor(AVG), so that FSDP2 on the CPU
# trains with gradients that are as many times too large as there are ranks, without an error.
#
# One would guess that a reduction means the same in every collective of a backend, or is refused where there is none.
# Seen with torch 2.8.0 and two processes that hold 1 and 2: all_reduce with ReduceOp.AVG gives 1.5, and
# reduce_scatter_tensor with the same argument 3.0. fully_shard asks for the latter: the gradient of a linear layer is
# twice that of one process that sees the whole batch. 2.6.0 and 2.7.1 refuse AVG in all_reduce ("Cannot use
# ReduceOp.AVG with Gloo") and sum in reduce_scatter_tensor as well; 2.9.1, 2.10.0, 2.11.0, 2.13.0 and 2.14.1 average in
# both (pytorch's issue 162338). An optimizer whose step does not depend on the gradient's scale hides it.
#
# Needs python3 (3.9 to 3.13) with venv, and a package index. Exits 1 where torch does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install -q torch==2.8.0 numpy

cat >ranks.py <<'CODE'
import os
import sys
import warnings

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

warnings.simplefilter("ignore")
rank = 0 if os.fork() else 1
dist.init_process_group("gloo", init_method=f"file://{os.getcwd()}/store", rank=rank, world_size=2)

mine = torch.full((4,), float(rank + 1))
everywhere, part = mine.clone(), torch.zeros(2)
dist.all_reduce(everywhere, dist.ReduceOp.AVG)
dist.reduce_scatter_tensor(part, mine.clone(), dist.ReduceOp.AVG)


def loss(net, rows):
    return (net(torch.arange(12.0).view(4, 3)[rows]) ** 2).mean()


def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 4)


alone = layer()
loss(alone, slice(0, 4)).backward()
net = layer()
fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
loss(net, slice(2 * rank, 2 * rank + 2)).backward()
times = (net.weight.grad.full_tensor() / alone.weight.grad).median().item()

seen = everywhere.tolist(), part.tolist(), round(times, 3)
if rank == 0:
    print("torch", torch.__version__)
    print("1 and 2, averaged by all_reduce:", seen[0])
    print("1 and 2, averaged by reduce_scatter_tensor:", seen[1])
    print("fully_shard's gradient, as a multiple of one process's:", seen[2])
dist.barrier()
sys.stdout.flush()
if rank == 1:
    os._exit(0)
os.wait()
os._exit(0 if seen == ([1.5] * 4, [3.0] * 2, 2.0) else 1)
CODE
venv/bin/python ranks.py
