#!/usr/bin/env bash
# A layer that tensor parallelism and then fully_shard cut, and a DTensor of the same values over the same mesh that is cut
# by two plain shards: with torch 2.9.1 copy_ and + put other rows of the one beside rows of the other, without an error.
#
# One would guess that an operation on two DTensors brings them to one cut first, as it does where they differ by
# dimension. Seen with torch 2.9.1 on 2 x 2 gloo processes: the layer's placements are (_StridedShard(0, 2), Shard(0)), the
# other's, made by distribute_tensor, (Shard(0), Shard(0)). Each comes back as 1 to 8 by full_tensor(), and their
# placements compare equal, although the ranks between hold other rows: after layer.copy_(other) the layer is
# 1 2 5 6 3 4 7 8, and the difference of two equal tensors is 2. The rows divide evenly. 2.6.0 and 2.8.0 do the same;
# in 2.10.0, 2.13.0 and 2.14.1 the placements differ, and all of this is right.
#
# Needs python3 (3.10 to 3.13) with venv, and a package index. Exits 1 where torch does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install -q torch==2.9.1 numpy

cat >ranks.py <<'CODE'
import os
import sys
import warnings

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

warnings.simplefilter("ignore")
rank = next((number for number in (1, 2, 3) if not os.fork()), 0)
dist.init_process_group("gloo", init_method=f"file://{os.getcwd()}/store", rank=rank, world_size=4)
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))

net = torch.nn.Sequential(torch.nn.Linear(1, 8, bias=False))
whole = torch.arange(1.0, 9).view(8, 1)
with torch.no_grad():
    net[0].weight.copy_(whole)
parallelize_module(net, mesh["tensor"], {"0": ColwiseParallel()})
fully_shard(net, mesh=mesh["data"])
layer = net[0].weight.detach()
other = distribute_tensor(whole, layer.device_mesh, [Shard(0), Shard(0)])


def values(tensor):
    return [int(value) for value in tensor.full_tensor().flatten()]


seen = {"equal": tuple(layer.placements) == tuple(other.placements), "layer": values(layer), "other": values(other),
        "difference": max(map(abs, values(layer - other))), "copied": values(layer.copy_(other))}
if rank == 0:
    print("torch", torch.__version__, tuple(layer.placements), tuple(other.placements))
    print(seen)
dist.barrier()
sys.stdout.flush()
if rank:
    os._exit(0)
for _ in range(3):
    os.wait()
ordered = [1, 2, 3, 4, 5, 6, 7, 8]
expected = {"equal": True, "layer": ordered, "other": ordered, "difference": 2, "copied": [1, 2, 5, 6, 3, 4, 7, 8]}
os._exit(0 if seen == expected else 1)
CODE
venv/bin/python ranks.py
