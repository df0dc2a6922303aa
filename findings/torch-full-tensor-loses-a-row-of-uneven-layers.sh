#!/usr/bin/env bash
# Tensor parallelism and then fully_shard, over a layer whose rows they do not divide: with torch 2.9.1 full_tensor()
# returns a row of padding in the middle and lacks one of the layer's. What cuts a whole layer for the ranks
# (distribute_tensor, set_model_state_dict with full_state_dict=True) gives two of four of them rows that are not theirs.
#
# One would guess that full_tensor() undoes what cut the tensor, as it does where the sizes divide. Seen with torch 2.9.1
# on 2 x 2 gloo processes, ColwiseParallel and then fully_shard, without an error: a layer of 8 rows, 1 to 8, comes back
# as it was, one of 6 rows as 1 2 3 0 4 6. Whoever saves whole weights from such a run, or loads them into one, has
# another network; torch.distributed.checkpoint, which knows where pieces lie, is right. 2.8.0 does the same; with 2.6.0
# and 2.7.1 fully_shard refuses such layers ("does not support uneven sharding"). With 2.10.0, 2.11.0, 2.13.0 and 2.14.1
# full_tensor() is right, and distribute_tensor stops with an AssertionError where it would have to send such pieces.
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
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
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
    mine = weight.to_local().clone()
    joined = [int(value) for value in weight.full_tensor().flatten()]
    cut = distribute_tensor(whole, weight.device_mesh, weight.placements).to_local()
    set_model_state_dict(net, {"0.weight": whole}, options=StateDictOptions(full_state_dict=True))
    loaded = net[0].weight.detach().to_local()
    right = [None] * 4
    dist.all_gather_object(right, (torch.equal(cut, mine), torch.equal(loaded, mine)))
    seen[rows] = joined, [of_rank[0] for of_rank in right], [of_rank[1] for of_rank in right]

if rank == 0:
    print("torch", torch.__version__, weight.placements)
    for rows, (joined, cut, loaded) in seen.items():
        print(f"{rows} rows: full_tensor has {joined}; by rank, whether it has its own rows from distribute_tensor: {cut}, "
              f"from set_model_state_dict: {loaded}")
dist.barrier()
sys.stdout.flush()
if rank:
    os._exit(0)
for _ in range(3):
    os.wait()
every, some = [True] * 4, [True, False, True, False]
os._exit(0 if seen == {8: ([1, 2, 3, 4, 5, 6, 7, 8], every, every), 6: ([1, 2, 3, 0, 4, 6], some, some)} else 1)
CODE
venv/bin/python ranks.py
