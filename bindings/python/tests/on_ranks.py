"""Functions of rank_programs.py in processes of their own, one a rank, that talk to each other through torch's gloo.

    on_ranks(3, "train", steps=5)    what each rank's call of train(rank, ranks, steps=5) returned
    on_ranks(3, "programs.train")    a function of another module beside this file
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS = 240


def on_ranks(ranks: int, program: str, **arguments: Any) -> list[Any]:
    """Raises AssertionError, with what they printed, where a rank does not return."""
    import layerwise

    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), *sys.path])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "arguments").write_bytes(pickle.dumps((program, arguments)))
        process = subprocess.Popen([sys.executable, "-B", str(here / "on_ranks.py"), str(ranks), folder],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                                   env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1",
                                        "LAYERWISE_LIBRARY": str(layerwise.library_path())})
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its ranks too, which wait for each other
            raise
        assert process.returncode == 0, printed
        return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(ranks)]


def program_of(name: str) -> Any:
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module or "rank_programs"), function)


def _asked(folder: Path) -> tuple[Any, dict[str, Any]]:
    program, arguments = pickle.loads((folder / "arguments").read_bytes())
    return program_of(program), arguments


def _rank(rank: int, ranks: int, folder: Path) -> None:
    import torch

    program, arguments = _asked(folder)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    returned = program(rank, ranks, **arguments)
    (folder / str(rank)).write_bytes(pickle.dumps(returned))
    if torch.distributed.is_initialized():  # a program may have left
        torch.distributed.destroy_process_group()


def _main(ranks: int, folder: Path) -> int:
    """Forks after what takes long is imported, and before anything of it runs."""
    _asked(folder)
    children = {}
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            try:
                _rank(rank, ranks, folder)
            except BaseException:
                import traceback
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            sys.stdout.flush()
            os._exit(0)
        children[child] = rank
    failed = 0
    while children:
        child, status = os.wait()
        if status:
            failed = 1
            print(f"rank {children[child]} ended with {status}", file=sys.stderr)
            for other in children:
                if other != child:
                    os.kill(other, 9)  # it would wait for the one that is gone
        del children[child]
    return failed


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), Path(sys.argv[2])))
