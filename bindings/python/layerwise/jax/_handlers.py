"""The FFI handlers: found in the package, or built here against the headers of the jaxlib in use; registered once."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import jax
import jaxlib

from .._errors import LibraryError
from .._library import library_path

LIBRARY_VARIABLE = "LAYERWISE_JAX_LIBRARY"
CACHE_VARIABLE = "LAYERWISE_CACHE"
STEPS = ("novograd_step", "novograd_norms", "novograd_apply", "larc_norms", "larc_scale", "larc_scale_apply",
         "larc_sgd_step", "larc_sgd_apply")

_HERE = Path(__file__).resolve().parent
_PACKAGED = _HERE.parent / "liblayerwise_jax.so"
_registering = threading.Lock()


def target(step: str) -> str:
    """The name that a step is registered under with XLA."""
    return f"layerwise_{step}"


def register_early() -> None:
    """Registers the handlers where they can be had, so that a step compiled in another process finds them here; where
    they cannot, the first step of this process says so."""
    with contextlib.suppress(LibraryError):
        register()


def register() -> None:
    """Loads the handlers and registers them for CPU and CUDA; every call but the first does nothing.

    Raises LibraryError, which says what was tried and what helps.
    """
    with _registering:
        _register()


@functools.cache
def _register() -> None:
    library_path()  # loads the library that the handlers call
    tried: list[str] = []
    for place, find in candidates():
        try:
            return register_from(find())
        except (OSError, LibraryError) as problem:
            tried.append(f"  {place}: {problem}")
    lines = "\n".join(tried)
    raise LibraryError(
        f"layerwise.jax has no handlers that jaxlib {jaxlib.__version__} takes. Tried:\n{lines}\nRemedy: install a "
        "C++20 compiler (CXX names one, else it is c++, g++ or clang++) and see that it can write where "
        f"{CACHE_VARIABLE} says, or build the package where jax is installed: pip install --no-build-isolation "
        "./bindings/python")


def candidates() -> list[tuple[str, Callable[[], Path]]]:
    """Where handlers may come from, in order: what to call the place, and what gives the file."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return [(LIBRARY_VARIABLE, lambda: Path(named).absolute())]
    packaged = [("inside the package", lambda: _PACKAGED)] if _PACKAGED.is_file() else []
    return [*packaged, ("built here", build)]


def register_from(path: Path) -> None:
    """Registers the handlers of one file. Raises OSError where it cannot be loaded, LibraryError where XLA would refuse
    it: it takes handlers that were built with the FFI API of its own version or of an older one."""
    handlers = ctypes.CDLL(str(path))
    try:
        api = int(handlers.layerwise_jax_ffi_api())
        functions = {(step, platform): getattr(handlers, f"layerwise_jax_{step}_{platform.lower()}")
                     for step in STEPS for platform in ("cpu", "CUDA")}
    except AttributeError as problem:
        raise LibraryError(f"{path} holds no handlers of layerwise: {problem}") from None
    ours, theirs = divmod(api, 1000), runtime_api()
    if ours[0] != theirs[0] or ours[1] > theirs[1]:
        raise LibraryError(f"{path} was built with XLA's FFI API {ours[0]}.{ours[1]}; jaxlib {jaxlib.__version__} has "
                           f"{theirs[0]}.{theirs[1]} and takes none that is newer")
    for (step, platform), function in functions.items():
        try:
            jax.ffi.register_ffi_target(target(step), jax.ffi.pycapsule(function), platform=platform)
        except Exception as problem:
            raise LibraryError(f"{path}, built with XLA's FFI API {ours[0]}.{ours[1]}: {problem}") from problem


def runtime_api() -> tuple[int, int]:
    """The version of the FFI API that the installed jaxlib has, from its headers."""
    header = (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text()
    major, minor = (int(re.findall(rf"#define XLA_FFI_API_{part} (\d+)", header)[0]) for part in ("MAJOR", "MINOR"))
    return major, minor


def build() -> Path:
    """The handlers, compiled into the cache folder unless they are there. Raises LibraryError, OSError."""
    header = _header_folder()
    sources = [*(_HERE / name for name in ("handlers.cpp", "operands.h", "plans.h")), header / "layerwise.h"]
    command = [*_compiler(), "-std=c++20", "-O2", "-fPIC", "-shared", f"-I{header}", "-isystem", jax.ffi.include_dir(),
               str(sources[0]), *_link_flags(library_path())]
    content = b"".join(path.read_bytes() for path in sources) + repr((command, jaxlib.__version__)).encode()
    folder, name = _cache_folder(), f"jax-handlers-{hashlib.sha256(content).hexdigest()[:16]}.so"
    built = folder / name
    if os.path.exists(folder):
        _refuse_others(folder)
    if os.path.isfile(built):
        _refuse_others(built)
    else:
        built = _writable(folder) / name
        with tempfile.TemporaryDirectory(dir=built.parent) as scratch:  # another process may do the same
            unfinished = Path(scratch) / built.name
            done = subprocess.run([*command, "-o", str(unfinished)], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
                raise LibraryError("\n    ".join([f"{shlex.join(command)} failed:", *errors[:5]]))
            unfinished.chmod(0o755)
            os.replace(unfinished, built)
    return built


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
    raise LibraryError(f"{path} {problem}, and handlers are code: none are loaded from there. Make it yours alone "
                       f"(chown, chmod go-w), or let {CACHE_VARIABLE} name a folder of your own")


def _header_folder() -> Path:
    """That of layerwise.h: a wheel has it in the package, a source checkout at its top level."""
    for folder in (_HERE.parent / "include", _HERE.parents[3] / "include"):
        if (folder / "layerwise.h").is_file():
            return folder
    raise LibraryError("layerwise.h is neither in the package nor in a source checkout around it")


def _compiler() -> list[str]:
    named = os.environ.get("CXX")
    if named:
        return shlex.split(named)
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise LibraryError("no C++ compiler: CXX is not set, and there is no c++, g++ or clang++")


def _link_flags(library: str) -> list[str]:
    """The library as it was found. It is loaded before the handlers are, which then find it by its soname."""
    return [library] if os.sep in library else [f"-l:{library}"]


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
