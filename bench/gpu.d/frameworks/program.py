"""What every program of this folder is: options, time, and findings as lines of JSON on standard output.

    PROGRAM [--device cuda|cpu] [--seconds N] [--models A,B]

With --device cpu everything that needs no GPU is done on the CPU, so that a machine without one executes the program's
own logic; what needs one is listed as not run. Exit code 3: a check failed, and the findings say which.
"""

import argparse
import importlib
import importlib.util
import json
import platform
import sys
import time
import traceback
from importlib import metadata

# What may be installed, by the name under which results list it, and the distributions that bring it.
DISTRIBUTIONS = {"torch": ("torch",), "triton": ("triton",), "timm": ("timm",), "jax": ("jax",), "jaxlib": ("jaxlib",),
                 "optax": ("optax",), "numpy": ("numpy",), "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy")}
FAILED = 3
LEAST = 0.5  # seconds without which nothing more is begun


class Missing(Exception):
    """What a part needs is not here; says what."""


class Program:
    def __init__(self, device="cuda", seconds=60.0, models=()):
        self.device, self.seconds, self.models, self.failed = device, seconds, models, False
        self._end = time.monotonic() + seconds

    @property
    def rehearsal(self):
        return self.device == "cpu"

    def left(self):
        return self._end - time.monotonic()

    def say(self, kind, **values):
        # One write for each line: programs that run at the same time share the output.
        sys.stdout.write(json.dumps({"kind": kind, **values}) + "\n")
        sys.stdout.flush()

    def facts(self, *names):
        self.say("facts", python=platform.python_version(), **versions(names))

    def not_run(self, name, reason):
        self.say("not_run", name=name, reason=reason)

    def check(self, name, problem, **more):
        self.failed |= bool(problem)
        self.say("check", name=name, ok=not problem, detail=problem, **more)

    def attempt(self, name, work):
        """`work` returns what is wrong, or an empty string: a check. What is missing and what there is no time for is
        listed; an exception is what is wrong."""
        if self.left() < LEAST:
            return self.not_run(name, "no time left")
        try:
            problem = work()
        except Missing as why:
            return self.not_run(name, str(why))
        except Exception as error:
            traceback.print_exc()
            problem = _in_words(error)
        return self.check(name, problem)

    def attempt_row(self, name, work, ours):
        """As `attempt`, for what prints its own row: an exception is wrong where the row is this project's; of others
        it says why there is no row."""
        if self.left() < LEAST:
            return self.not_run(name, "no time left")
        try:
            work()
        except Missing as why:
            self.not_run(name, str(why))
        except Exception as error:
            traceback.print_exc()
            (self.check if ours else self.not_run)(name, _in_words(error))
        return None


def _in_words(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def versions(names):
    found = {}
    for name in names:
        for distribution in DISTRIBUTIONS[name]:
            try:
                found[name] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                pass
    return found


def need(module):
    """Raises Missing where a module is not installed."""
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # of a module that was made unavailable
        found = False
    if not found:
        raise Missing(f"{module} is not installed")


def imported(module):
    """The module. Raises Missing where it, or what it imports in turn, is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as why:
        raise Missing(f"{why.name} is not installed") from None


def torch_on(device):
    """The module, once it is known to see the device."""
    torch = imported("torch")
    torch.set_num_threads(1)  # the CPU's part is small, and threads that wait for each other are slow on a busy machine
    if device == "cuda" and not torch.cuda.is_available():
        raise Missing("torch sees no CUDA device")
    return torch


def run(name, work, arguments=None):
    """A program's whole run; its exit code."""
    parser = argparse.ArgumentParser(prog=name, description=work.__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=60, help="begin nothing after so many")
    parser.add_argument("--models", default="resnet50,bert-large", help="of the rivals, as bench/models.h names them")
    options = parser.parse_args(arguments)
    program = Program(options.device, options.seconds, options.models.split(","))
    try:
        work(program)
    except Missing as why:
        program.not_run(name, str(why))
    return FAILED if program.failed else 0
