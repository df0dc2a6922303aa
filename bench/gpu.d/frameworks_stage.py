"""The stages of the Python packages and of what other frameworks offer for the same work: the programs of frameworks/,
which frameworks/together.py runs."""

from part import NotRun, interpreter

# Compared bit by bit, all at the same time; the longest first.
COMPARED = ("torch_compiled", "jax_steps", "torch_eager", "torch_graph", "torch_scaler", "arrays")
TIMED_LAST = 20  # seconds for what is timed once nothing else runs
# Timed, so one after the other: which, its share of the time left, and seconds without which it is not begun.
RIVALS = (("rivals_torch", 0.45, 12), ("rivals_jax", 0.5, 20), ("rivals_compiled", 1.0, 25))


def python_stage(part):
    """layerwise.torch, layerwise.jax and Plan on the device: the CPU's bits; then what a step costs the host."""
    left = part.clock.left()
    _run(part, max(left - TIMED_LAST, 0.6 * left), *COMPARED)
    _run(part, part.clock.left(), "host_time")


def rivals_stage(part):
    """What PyTorch, JAX and their libraries take for the same work."""
    for number, (name, share, least) in enumerate(RIVALS):
        left, later = part.clock.left(), RIVALS[number + 1:]
        if left < least:
            _left_out(part, name, f"it is not begun with less than {least} s")
        else:  # all that is left, where what would remain is too little for the next
            _run(part, share * left if later and (1 - share) * left >= later[0][2] else left, name)


def _run(part, seconds, *programs):
    """Within so many seconds; a time-out is nobody's fault and is listed."""
    folder = part.tree.root / "bench" / "gpu.d" / "frameworks"
    handlers = _file(part.tree, "liblayerwise_jax.so")
    outcome = part.command([interpreter(), "-B", folder / "together.py", "--seconds", f"{max(seconds - 2, 1):.1f}",
                            "--library", _library(part.tree), *(["--handlers", handlers] if handlers else []),
                            "--cache", part.tree.folder / "jax-handlers", *programs], limit=seconds)
    if outcome.timed_out:
        _left_out(part, f"{', '.join(programs)}: the rest", outcome.problem())
    elif outcome.returncode not in (0, 3):  # 3: the findings say what failed
        part.fail(f"{', '.join(programs)}: {outcome.problem()}: {outcome.last_words()}")
    elif not outcome.findings():
        part.fail(f"{', '.join(programs)}: nothing was printed")


def _left_out(part, name, reason):
    part.stage.findings.append({"kind": "not_run", "name": name, "reason": reason})


def _library(tree):
    found = _file(tree, "liblayerwise.so*")
    if not found:
        raise NotRun("the build has no liblayerwise.so")
    return found


def _file(tree, pattern):
    """The first in the places where a tree may have it; None where it is in none."""
    for place in (tree.folder, tree.folder / "lib", tree.folder / "bench"):
        for found in sorted(place.glob(pattern)):
            return found
    return None
