"""The FFI handlers: found in the package, or built here against the headers of the jaxlib in use; registered once."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import jax
import jaxlib

from .._build import CACHE_VARIABLE, Build, compiler
from .._errors import LibraryError
from .._library import library_path

LIBRARY_VARIABLE = "LAYERWISE_JAX_LIBRARY"
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
    command = [*compiler(), "-std=c++20", "-O2", "-fPIC", "-shared", f"-I{header}", "-isystem", jax.ffi.include_dir(),
               str(sources[0]), *_link_flags(library_path())]
    return Build("jax-handlers", command, sources, jaxlib.__version__).make()


def _header_folder() -> Path:
    """That of layerwise.h: a wheel has it in the package, a source checkout at its top level."""
    for folder in (_HERE.parent / "include", _HERE.parents[3] / "include"):
        if (folder / "layerwise.h").is_file():
            return folder
    raise LibraryError("layerwise.h is neither in the package nor in a source checkout around it")


def _link_flags(library: str) -> list[str]:
    """The library as it was found. It is loaded before the handlers are, which then find it by its soname."""
    return [library] if os.sep in library else [f"-l:{library}"]
