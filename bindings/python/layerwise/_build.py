"""C++ that is compiled where it runs, and kept: what must fit the installed version of a framework."""

from __future__ import annotations

import atexit
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ._errors import LibraryError

CACHE_VARIABLE = "LAYERWISE_CACHE"

Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Build:
    """A shared library that one command compiles, but for its output.

    name     of the file, before a hash of all that it is made of
    sources  what the command reads of this package
    against  the versions of what else it reads
    """

    def __init__(self, name: str, command: list[str], sources: Sequence[Path], against: object) -> None:
        self._command = command
        content = b"".join(path.read_bytes() for path in sources) + repr((command, against)).encode()
        self._file = f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.so"

    def found(self) -> Path | None:
        """The library, where the cache has it. Raises LibraryError for a cache that others may write."""
        folder = _cache_folder()
        if os.path.exists(folder):
            _refuse_others(folder)
        built = folder / self._file
        if not os.path.isfile(built):
            return None
        _refuse_others(built)
        return built

    def make(self, run: Run = run) -> Path:
        """The library, compiled into the cache unless it is there. Raises LibraryError, OSError."""
        found = self.found()
        if found is not None:
            return found
        built = _writable(_cache_folder()) / self._file
        with tempfile.TemporaryDirectory(dir=built.parent) as scratch:  # another process may do the same
            unfinished = Path(scratch) / built.name
            done = run([*self._command, "-o", str(unfinished)])
            if done.returncode != 0:
                errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
                raise LibraryError("\n    ".join([f"{shlex.join(self._command)} failed:", *errors[:5]]))
            unfinished.chmod(0o755)
            os.replace(unfinished, built)
        return built


def compiler() -> list[str]:
    """Raises LibraryError where there is none."""
    named = os.environ.get("CXX")
    if named:
        return shlex.split(named)
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise LibraryError("no C++ compiler: CXX is not set, and there is no c++, g++ or clang++")


def _refuse_others(path: Path) -> None:
    """Raises LibraryError for a file or folder that another user could have written: what is loaded from there runs in
    this process."""
    if not hasattr(os, "geteuid"):
        return
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        problem = f"belongs to user {found.st_uid}, this process to user {os.geteuid()}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = f"has mode {stat.S_IMODE(found.st_mode):04o}, so that others may write it"
    else:
        return
    raise LibraryError(f"{path} {problem}, and it holds code: none is loaded from there. Make it yours alone "
                       f"(chown, chmod go-w), or let {CACHE_VARIABLE} name a folder of your own")


def _cache_folder() -> Path:
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "layerwise"


def _writable(folder: Path) -> Path:
    """The folder, made; where nothing can be written, a temporary one of this process, unless the folder was named."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return folder
    except OSError as problem:
        if os.environ.get(CACHE_VARIABLE):
            raise LibraryError(f"{CACHE_VARIABLE} is {folder}, where nothing can be written: {problem}") from None
    temporary = tempfile.mkdtemp(prefix="layerwise-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)
