"""training_example.py PROGRAM: bindings/c/examples/train.c learns, and a run that was stopped ends with the bits of one
that was not."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path


def run(*arguments):
    return subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True, check=True).stdout


with tempfile.TemporaryDirectory() as folder:
    checkpoint = Path(folder) / "run.ckpt"
    for optimizer in ("novograd", "larc", "adamw", "sgd"):
        whole = run(optimizer, 120).splitlines()[-1]
        assert float(re.search(r", (\S+) right", whole)[1]) > 0.6, f"{optimizer}: {whole}"  # of ten classes
        run(optimizer, 120, checkpoint, 50)
        resumed = run(optimizer, 120, checkpoint)
        assert "goes on after step 50" in resumed and resumed.splitlines()[-1] == whole, f"{optimizer}: {resumed}"
        checkpoint.unlink()
    checkpoint.write_bytes(b"something else")
    refused = subprocess.run([sys.argv[1], "larc", "120", checkpoint], capture_output=True, text=True)
    assert refused.returncode == 1 and "is no checkpoint of this network" in refused.stderr, refused
compared = run("compare", 10)
assert all(re.search(rf"^ *{name} +\S+ +0\.\d+ +0\.\d+ +0\.\d+$", compared, re.M)
           for name in ("novograd", "larc", "adamw", "sgd")), compared
