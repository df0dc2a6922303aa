"""Where the programs are, and how they are built where they are not."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import process


@dataclass
class Tree:
    root: Path  # of the project
    folder: Path
    bench: Optional[Path]  # bench_gpu
    cross: Optional[Path]  # the tests' comparison of the backends
    tests: str  # empty, or why ctest cannot be used


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
    return Tree(root, folder, _program(folder, "bench_gpu"), _program(folder, "cross"), _tests_problem(folder))


def _architecture(root):
    """The GPU's, such as 90; empty where nothing says it."""
    asked = process.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], 20, root)
    found = re.match(r"\s*(\d+)\.(\d)\s*$", (asked.stdout.splitlines() or [""])[0])
    return "".join(found.groups()) if asked.returncode == 0 and found else ""


def build(root, clock, results):
    """build/gpu, for the GPU that is here, within the time there is; without the tests where those cannot be built."""
    folder = root / "build" / "gpu"
    architecture = _architecture(root) or "native"
    stage = results.begin("build")
    configure = ["cmake", "-S", root, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DLAYERWISE_CUDA=ON",
                 "-DLAYERWISE_BENCH=ON", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}"]
    make = ["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 1)]
    problem = ""
    for tests in ("ON", "OFF"):
        # Offline: what the tests would fetch is taken as missing.
        commands = [[*configure, f"-DLAYERWISE_TESTS={tests}", "-DFETCHCONTENT_FULLY_DISCONNECTED=ON"],
                    [*make, "--target", "bench_gpu"], [*make, "--target", "cross"], make]
        for command in commands if tests == "ON" else commands[:2]:
            outcome = process.run(command, clock.left(), root)
            stage.commands.append(outcome.command)
            if outcome.problem():
                problem = f"{outcome.command}: {outcome.problem()}: {outcome.last_words()}"
                break
        tree = find(root, folder)
        if tree.bench or clock.left() <= 0:
            break
    stage.finish("passed" if tree.bench else "failed", problem)
    results.write()
    return tree
