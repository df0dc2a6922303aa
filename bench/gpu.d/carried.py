"""A tree that runs on a machine that can build nothing: what is built for it, what is in it, what it may weigh."""

import json
import platform
import shutil

import builds
import process
from report import commit_of

MOST_BYTES = 60_000_000
HOURS = 3 * 3600  # seconds after which a build is given up
# The machine it is carried to may have an older C++ library than this one.
TO_CARRY = ("-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc",)


class Refused(Exception):
    """A tree that is not made; says why."""


def make_room(tree):
    if tree.exists() and not tree.is_dir() or tree.is_dir() and any(tree.iterdir()) and not builds.made(tree):
        raise Refused(f"{tree} is there and was not made by bench/pack")


def build(root, architectures):
    """The folder it was built in, and what is to be known of it where it is carried to."""
    folder, only = root / "build" / "pack", ";".join(f"{number}-real" for number in architectures)
    without_cross = ""
    for tests, targets in (("ON", ("bench_gpu", "layerwise", "cross")), ("OFF", ("bench_gpu", "layerwise"))):
        commands = builds.commands(root, folder, only, tests, targets, *TO_CARRY)
        failed = next((outcome for outcome in map(_run(root), commands) if outcome.problem()), None)
        if not failed:
            break
        words = f"{failed.command}: {failed.problem()}: {failed.last_words()}"
        if tests == "OFF":
            raise Refused(words)
        why = "there was no Catch2" if "no Catch2" in failed.stdout else "it could not be built"
        without_cross = f"it was made without tests/cross: {why}"
        print(f"bench/pack: {without_cross}; {words}", flush=True)
    return folder, {"commit": commit_of(root), "architectures": only, "machine": platform.machine(),
                    "glibc": platform.libc_ver()[1], "without cross": without_cross,
                    "without nccl": _without_nccl(root, folder)}


def _without_nccl(root, folder):
    """Makes the example for NCCL where NCCL is; else says why not, and the tree is carried without it."""
    outcome = _run(root)(["cmake", "--build", folder, "--target", "nccl"])
    if not outcome.problem():
        return ""
    said = outcome.stdout + outcome.stderr
    unknown = "unknown target" in said or "No rule to make target" in said  # Ninja's words and make's
    why = "there was no NCCL, or there were no tests" if unknown else f"it could not be built: {outcome.last_words()}"
    return f"it was made without tests/nccl: {why}"


def _run(root):
    def run(command):
        print(f"bench/pack: {' '.join(str(word) for word in command[:2])} ... {command[-1]}", flush=True)
        return process.run(command, HOURS, root)

    return run


def fill(root, folder, tree, made):
    """Everything that bench/gpu uses; links and caches do not travel."""
    shutil.rmtree(tree, ignore_errors=True)
    built = builds.find(root, folder)
    library = next((path for path in sorted(folder.glob("liblayerwise.so*")) if not path.is_symlink()), None)
    if not built.bench or not library:
        raise Refused(f"{folder} holds no bench_gpu or no liblayerwise.so")
    programs = {"bench/bench_gpu": built.bench, "lib/liblayerwise.so": library}
    for name, program in (("cross", built.cross), ("nccl", built.nccl)):
        if program and not made[f"without {name}"]:
            programs[f"tests/{name}/{name}"] = program
    for name, source in programs.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        _copy_stripped(source, tree / name)
    _copy(root, tree, "bench/gpu", "include/layerwise.h", "LICENSE", *_files(root, "bench/gpu.d", (".py",)),
          *_files(root, "bindings/python/layerwise", (".py", ".typed", ".cpp", ".h")))
    (tree / builds.MADE).write_text(json.dumps(made, indent=1) + "\n")


def _copy_stripped(source, target):
    """A file that strip does not know is taken as it is; its size is seen like every other's."""
    if process.run(["strip", "-o", target, source], 300, target.parent).problem():
        shutil.copyfile(source, target)
    target.chmod(0o755)


def _files(root, folder, endings):
    found = sorted(path for path in (root / folder).rglob("*") if path.is_file() and path.suffix in endings)
    return [path.relative_to(root) for path in found]


def _copy(root, tree, *names):
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, tree / name)


def weigh(tree):
    """What to say of it. Raises Refused, and takes it away, where it is too large to be carried."""
    sizes = {path.relative_to(tree): path.stat().st_size for path in tree.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    largest = ", ".join(f"{name} {sizes[name] / 1e6:.1f}" for name in sorted(sizes, key=sizes.get)[:-4:-1])
    words = f"{total / 1e6:.1f} MB of at most {MOST_BYTES / 1e6:.0f} ({largest})"
    if total > MOST_BYTES:
        shutil.rmtree(tree)
        raise Refused(f"the tree would hold {words}")
    made = builds.made(tree)
    return [f"{tree}: {words}", *(made[key] for key in ("without cross", "without nccl") if made.get(key)),
            f"run it there: {tree / 'bench' / 'gpu'}"]
