#!/usr/bin/env bash
# Tensor parallelism and then fully_shard, over a layer whose rows they do not divide: with torch 2.9.1 full_tensor()
# returns a row of padding in the middle and lacks one of the layer's, and distribute_tensor gives ranks other rows.
#
# One would guess that full_tensor() undoes what cut the tensor, as it does where the sizes divide. Seen with torch 2.9.1
# on 2 x 2 gloo processes, ColwiseParallel and then fully_shard, without an error: a layer of 8 rows, 1 to 8, comes back
# as it was, one of 6 rows as 1 2 3 0 4 6. Whoever saves whole weights from such a run saves another network. 2.8.0 does
# the same; with 2.6.0 and 2.7.1 fully_shard refuses such layers ("does not support uneven sharding"), and with 2.10.0,
# 2.11.0, 2.13.0 and 2.14.1 the layer is whole.
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
from torch.distributed.tensor import distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

warnings.simplefilter("ignore")
rank = next((number for number in (1, 2, 3) if not os.fork()), 0)
dist.init_process_group("gloo", init_method=f"file://{os.getcwd()}/store", rank=rank, world_size=4)
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))

seen = {}
for rows in (8, 6):
    net = torch.nn.Sequential(torch.nn.Linear(1, rows, bias=False))
    whole = torch.arange(1.0, rows + 1).view(rows, 1)
    with torch.no_grad():
        net[0].weight.copy_(whole)
    parallelize_module(net, mesh["tensor"], {"0": ColwiseParallel()})
    fully_shard(net, mesh=mesh["data"])
    weight = net[0].weight.detach()
    again = distribute_tensor(whole, weight.device_mesh, weight.placements)
    same = [None] * 4
    dist.all_gather_object(same, torch.equal(again.to_local(), weight.to_local()))
    seen[rows] = [int(value) for value in weight.full_tensor().flatten()], all(same)

if rank == 0:
    print("torch", torch.__version__, weight.placements)
    for rows, (order, same) in seen.items():
        print(f"{rows} rows: full_tensor has {order}; distribute_tensor gives every rank its own: {same}")
dist.barrier()
sys.stdout.flush()
if rank:
    os._exit(0)
for _ in range(3):
    os.wait()
os._exit(0 if seen == {8: ([1, 2, 3, 4, 5, 6, 7, 8], True), 6: ([1, 2, 3, 0, 4, 6], False)} else 1)
CODE
venv/bin/python ranks.py
