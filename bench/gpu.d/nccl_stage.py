"""The example of tests/nccl on the device, as its communicator's only rank: NCCL's all-reduce between the halves of a
step, on one stream. NCCL itself is this machine's; no tree carries its 300 MB."""

import os

import process
from part import NotRun, interpreter

NO_GPU = 77  # the example's exit code
# Where PyTorch's package nvidia-nccl has put the library.
FOLDER = "import os, nvidia.nccl; print(os.path.join(list(nvidia.nccl.__path__)[0], 'lib'))"


def environment(tree):
    """For the example: where the loader finds NCCL beside the system's folders."""
    found = process.run([interpreter(), "-c", FOLDER], 20, tree.root)
    folders = [folder for folder in (found.stdout.strip(), os.environ.get("LD_LIBRARY_PATH")) if folder]
    return {"LD_LIBRARY_PATH": os.pathsep.join(folders)} if folders else {}


def nccl_stage(part):
    if part.tree.nccl_problem:
        raise NotRun(part.tree.nccl_problem)
    outcome = part.command([part.tree.nccl], environment(part.tree))
    if outcome.returncode == NO_GPU:
        raise NotRun(outcome.last_words())
    good = part.expect_success(outcome, "nccl")
    part.stage.findings.append({"kind": "check", "name": "nccl: one rank trains as one plan", "ok": good,
                                "detail": outcome.last_words()})
