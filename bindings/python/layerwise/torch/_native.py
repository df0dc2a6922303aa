"""watch.cpp, compiled against the torch that is installed: a step finds its tensors in a tenth of the time.

It changes no result, so nobody waits for it. A process that repeats many steps compiles it beside its work, once for a
machine, and the cache has it for the next; without it, as where there is no compiler, Python code does the same.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .._build import Build, compiler
from .._errors import LibraryError

LIBRARY_VARIABLE = "LAYERWISE_TORCH_LIBRARY"
MANY = 1000  # repeated steps of a process that is long enough to compile

_SOURCE = Path(__file__).resolve().parent / "watch.cpp"


class Functions:
    """The functions of one library. Raises OSError, and LibraryError for what is no such library."""

    def __init__(self, path: Path) -> None:
        library = ctypes.PyDLL(str(path))
        try:
            self.watch = self._function(library.layerwise_torch_watch, 3)
            self.look = self._function(library.layerwise_torch_look, 3, ctypes.c_void_p)
            self.groups = self._function(library.layerwise_torch_groups, 5)
            self.rates = self._function(library.layerwise_torch_rates, 3)
            self.written = self._function(library.layerwise_torch_written, 1)
            self.columns = self._function(library.layerwise_torch_columns, 4)
            self.completed = self._function(library.layerwise_torch_completed, 1)
            self.fill = self._function(library.layerwise_torch_fill, 1)
            self.write_back = self._function(library.layerwise_torch_write_back, 1)
        except AttributeError as problem:
            raise LibraryError(f"{path} has nothing of layerwise.torch: {problem}") from None

    @staticmethod
    def _function(function: Any, objects: int, *others: Any) -> Callable[..., Any]:
        function.argtypes = [ctypes.py_object] * objects + list(others)
        function.restype = ctypes.py_object
        found: Callable[..., Any] = function
        return found


def build() -> Build:
    """Raises LibraryError where there is no compiler."""
    there = Path(torch.__file__).parent
    command = [*compiler(), "-std=c++20", "-O2", "-DNDEBUG", "-fPIC", "-shared",
               f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"]
    for folder in (there / "include", there / "include" / "torch" / "csrc" / "api" / "include",
                   sysconfig.get_paths()["include"]):
        command += ["-isystem", str(folder)]
    command += [str(_SOURCE), f"-L{there / 'lib'}", "-ltorch_python", "-ltorch_cpu", "-lc10"]
    against = torch.__version__, torch.version.git_version, sysconfig.get_config_var("SOABI")
    return Build("torch-watch", command, [_SOURCE], against)


class _Native:
    """What this process has of it.

    functions  None until they are found or compiled
    """

    def __init__(self) -> None:
        self.functions: Functions | None = None
        self._named = os.environ.get(LIBRARY_VARIABLE) or None
        self._has_looked = False
        self._repeated = 0
        self._thread = threading.Thread(target=self._compile, name="layerwise-torch-watch", daemon=True)
        self._compiling: subprocess.Popen[str] | None = None
        self._is_ending = False
        self._owner = 0

    def found(self) -> Functions | None:
        """The functions, where they can be had without compiling. Raises OSError and LibraryError for a library that is
        named and is none."""
        if not self._has_looked:
            if self._named is None:
                with contextlib.suppress(LibraryError, OSError):
                    path = build().found()
                    self.functions = None if path is None else Functions(path)
            elif self._named != "none":
                self.functions = Functions(Path(self._named).absolute())
            self._has_looked = True
        return self.functions

    def repeated(self) -> None:
        """Counts a step that was repeated without the functions."""
        self._repeated += 1
        if self._repeated == MANY and self._named is None:
            with contextlib.suppress(RuntimeError):  # the process may have no more threads, or end
                self._thread.start()

    def _compile(self) -> None:
        self._owner = os.getpid()
        atexit.register(self._stop)
        with contextlib.suppress(LibraryError, OSError):
            self.functions = Functions(build().make(self._run))
        atexit.unregister(self._stop)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        if self._is_ending:
            raise OSError("the process ends")
        nice = ["nice"] if shutil.which("nice") else []
        with subprocess.Popen([*nice, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              start_new_session=True) as process:
            self._compiling = process
            _, errors = process.communicate()
        self._compiling = None
        return subprocess.CompletedProcess(command, process.returncode, "", errors)

    def _stop(self) -> None:
        """At the end of the process: nothing goes on, and nothing unfinished is left. Not at a forked child's."""
        if os.getpid() != self._owner:
            return
        self._is_ending = True
        if self._compiling is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._compiling.pid, signal.SIGTERM)
        self._thread.join(10)


native = _Native()
