"""Where the programs are, and how they are built where they are not."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import process


@dataclass
class Tree:
    """The programs, and what is known of them. A problem says why something cannot be used; empty where it can."""

    root: Path  # of the project
    folder: Path
    bench: Optional[Path]  # bench_gpu
    cross: Optional[Path]  # the tests' comparison of the backends
    nccl: Optional[Path]  # the tests' example of a sharded step
    made: dict  # what bench/pack wrote about it; empty for a build tree
    bench_problem: str = ""
    cross_problem: str = ""
    nccl_problem: str = ""
    tests_problem: str = ""  # of ctest
    device_problem: str = ""


MADE = "tree.json"


def made(folder):
    """What bench/pack wrote about the tree, or nothing."""
    try:
        return json.loads((folder / MADE).read_text())
    except OSError:
        return {}


def _program(folder, name):
    for place in (folder / "bench", folder / "tests" / name, folder / "tests", folder):
        if (place / name).is_file() and os.access(place / name, os.X_OK):
            return place / name
    return None


def _tests_problem(folder):
    """A tree of tests works only where it was configured."""
    cache = folder / "CMakeCache.txt"
    if not cache.is_file() or not (folder / "CTestTestfile.cmake").is_file():
        return "the build has no tests"
    built_in = re.search(r"^CMAKE_CACHEFILE_DIR:INTERNAL=(.*)$", cache.read_text(errors="replace"), re.M)
    if built_in and Path(built_in.group(1)).resolve() != folder:
        return "the build was made in another folder"
    return ""


def find(root, folder):
    folder = folder.resolve()
    programs = (_program(folder, name) for name in ("bench_gpu", "cross", "nccl"))
    tree = Tree(root, folder, *programs, made(folder))
    tree.bench_problem = "" if tree.bench else "the build has no bench_gpu"
    tree.cross_problem = "" if tree.cross else tree.made.get("without cross") or "the build has no tests/cross"
    tree.nccl_problem = "" if tree.nccl else tree.made.get("without nccl") or "the build has no tests/nccl"
    tree.tests_problem = _tests_problem(folder)
    return tree


def _architecture(root):
    """The GPU's, such as 90; empty where nothing says it."""
    asked = process.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], 20, root)
    found = re.match(r"\s*(\d+)\.(\d)\s*$", (asked.stdout.splitlines() or [""])[0])
    return "".join(found.groups()) if asked.returncode == 0 and found else ""


def commands(root, folder, architectures, tests, targets, *more):
    """To configure a Release build offline, where what the tests would fetch is taken as missing, and to make the
    targets one after the other, so that those made are there when a later one fails."""
    configure = ["cmake", "-S", root, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DLAYERWISE_CUDA=ON",
                 "-DLAYERWISE_BENCH=ON", f"-DLAYERWISE_TESTS={tests}", "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
                 f"-DCMAKE_CUDA_ARCHITECTURES={architectures}", *more]
    make = ["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 1)]
    return [configure, *([*make, *(["--target", target] if target else [])] for target in targets)]


def build(root, clock, results):
    """build/gpu, for the GPU that is here, within the time there is; without the tests where those cannot be built."""
    folder, architecture = root / "build" / "gpu", _architecture(root) or "native"
    stage = results.begin("build")
    problem = ""
    for tests, targets in (("ON", ("bench_gpu", "layerwise", "cross", "")), ("OFF", ("bench_gpu", "layerwise"))):
        for command in commands(root, folder, architecture, tests, targets):
            outcome = process.run(command, clock.left(), root)
            stage.commands.append(outcome.command)
            if outcome.problem():
                problem = f"{outcome.command}: {outcome.problem()}: {outcome.last_words()}"
                break
        tree = find(root, folder)
        if tree.bench or clock.left() <= 0:
            break
    stage.finish("passed" if tree.bench else "not run" if outcome.timed_out else "failed", problem)
    results.write()
    return tree
