#!/usr/bin/env bash
# DeepSpeed's ZeRO 1 saves "elastic_checkpoint": true of torch's optimizers, and then cannot load what it has saved.
#
# One would guess that the option, which is there to go on with another number of ranks, at least goes on with the same.
# Seen with DeepSpeed 0.19.8 and torch 2.13.0, one rank on the CPU: save_checkpoint says nothing, and load_checkpoint into
# the same model raises an AssertionError without a message. It asks for a number of steps that was saved only where the
# optimizer keeps one in its parameter groups, as apex's FusedAdam does; torch's keep theirs in the state, or none. That is
# so of AdamW, Adagrad and SGD with momentum. Without the option all three load. The other way to another number of ranks,
# the conversion to a universal checkpoint, takes Adam's state alone: SGD's is a KeyError of exp_avg (DeepSpeed's issue
# 8608).
#
# Needs python3 with venv and its headers, g++ and a package index. Exits 1 where DeepSpeed does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TORCH_EXTENSIONS_DIR="$work/extensions" # DeepSpeed compiles its exchange of ranks when it is first used

python3 -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 numpy
venv/bin/python -m pip install -q deepspeed==0.19.8

cat >train.py <<'CODE'
import os
import socket
import sys

with socket.socket() as free:
    free.bind(("localhost", 0))
    port = str(free.getsockname()[1])
os.environ.update(DS_ACCELERATOR="cpu", LOCAL_RANK="0", RANK="0", WORLD_SIZE="1", MASTER_ADDR="localhost",
                  MASTER_PORT=port)
import torch
import deepspeed

name, elastic = sys.argv[1], sys.argv[2] == "elastic"
MAKERS = {"AdamW": lambda p: torch.optim.AdamW(p, 0.01), "Adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
          "SGD": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)}


def engine():
    torch.manual_seed(0)
    net = torch.nn.Linear(8, 4)
    config = {"train_micro_batch_size_per_gpu": 4, "zero_allow_untested_optimizer": True,
              "zero_force_ds_cpu_optimizer": False,
              "zero_optimization": {"stage": 1, "elastic_checkpoint": elastic}}
    return deepspeed.initialize(model=net, optimizer=MAKERS[name](net.parameters()), config=config)[0]


trained = engine()
for _ in range(3):
    trained.backward(trained(torch.ones(4, 8)).square().mean())
    trained.step()
folder = "elastic" if elastic else name
trained.save_checkpoint(folder)
try:
    engine().load_checkpoint(folder)
    said = "loads"
except AssertionError as error:
    said = f"AssertionError({str(error)!r})"
open("said", "w").write(said)
CODE

failed=0
expect() { # what, seen, expected
  printf '%-40s %s\n' "$1" "$2"
  [ "$2" = "$3" ] || { echo "   expected $3" && failed=1; }
}

venv/bin/python -c 'import importlib.metadata as m; print("deepspeed", m.version("deepspeed"), "torch", m.version("torch"))'
for name in AdamW Adagrad SGD; do
  venv/bin/python train.py "$name" plain >log 2>&1 || { tail -n 5 log && exit 1; }
  expect "$name" "$(cat said)" loads
  rm -rf elastic
  venv/bin/python train.py "$name" elastic >log 2>&1 || { tail -n 5 log && exit 1; }
  expect "$name, elastic_checkpoint" "$(cat said)" "AssertionError('')"
done
for name in AdamW SGD; do
  venv/bin/python -m deepspeed.checkpoint.ds_to_universal --inject_missing_state --num_extract_workers 1 \
    --num_merge_workers 1 --input_folder "$name/global_step3" --output_folder "universal-$name" >log 2>&1 || true
  [ $name = AdamW ] && wanted='*** Done!' || wanted="KeyError: 'exp_avg'"
  expect "$name to a universal checkpoint" "$(tail -n 1 log)" "$wanted"
done
exit $failed
