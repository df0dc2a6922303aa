"""Runs programs of this folder at the same time, each a process of its own that may fail alone:

    together.py --seconds N --library FILE [--handlers FILE] [--cache FOLDER] [--device cpu] PROGRAM...

Their findings are this program's. A program that is not done in time is ended and listed as not run; one that crashes
is a check that failed. Exit code 3: a check failed, and the findings say which.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import program

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
TO_END = 3  # seconds that a program is given to end by itself
TO_LEAVE = 0.5  # seconds for all that were killed to be gone


class Child:
    """In this process's group, with which it ends."""

    def __init__(self, name, options):
        self.name, self.errors = name, tempfile.TemporaryFile()
        seconds = max(options.seconds - TO_END, 1)
        self.process = subprocess.Popen(
            [sys.executable, "-B", options.folder / f"{name}.py", "--device", options.device,
             "--seconds", f"{seconds:.1f}"],
            stdin=subprocess.DEVNULL, stderr=self.errors, env={**os.environ, **environment(options)})

    def conclude(self, run, end):
        """Waits for it, and says what it could not say itself."""
        try:
            code = self.process.wait(timeout=max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # what is timed next is to have the device alone
                self.process.wait(timeout=max(end + TO_LEAVE - time.monotonic(), 0.05))
            return run.not_run(f"{self.name}: the rest", f"stopped when its {run.seconds:.0f} s were over")
        if code == program.FAILED:
            run.failed = True
        elif code != 0:
            run.check(self.name, f"{_ended(code)}: {self._last_words()}")
        return None

    def _last_words(self):
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().decode("utf-8", "replace").splitlines()]
        return next((line[:300] for line in reversed(lines) if line), "")


def environment(options):
    """What the programs need to find the Python packages and what those load."""
    paths = [str(ROOT / "bindings" / "python"), os.environ.get("PYTHONPATH")]
    found = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    named = {"LAYERWISE_LIBRARY": options.library, "LAYERWISE_JAX_LIBRARY": options.handlers,
             "LAYERWISE_CACHE": options.cache}
    return {**found, **{name: str(value) for name, value in named.items() if value}}


def _ended(code):
    try:
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"ended by signal {-code}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--library", type=Path, help="liblayerwise.so")
    parser.add_argument("--handlers", type=Path, help="those of layerwise.jax, where they are built already")
    parser.add_argument("--cache", type=Path, help="where handlers that are built are kept")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the programs")
    options = parser.parse_args(arguments)
    run, end = program.Program(options.device, options.seconds), time.monotonic() + options.seconds
    if not importlib.util.find_spec("numpy"):  # which layerwise itself needs
        run.not_run(", ".join(options.programs), "numpy is not installed")
        return 0
    for child in [Child(name, options) for name in options.programs]:
        child.conclude(run, end)
    return program.FAILED if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
