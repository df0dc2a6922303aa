"""Finds and loads the shared library, at first use."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from . import _abi, _abi_check
from ._errors import Error, LibraryNotFoundError, error_for
from ._version import VERSION
from ._words import in_python

ENVIRONMENT_VARIABLE = "LAYERWISE_LIBRARY"

_PACKAGE = Path(__file__).resolve().parent
_loaded: ctypes.CDLL | None = None
_loading = threading.Lock()


def library() -> ctypes.CDLL:
    """The library, loaded and checked by the first call. Raises LibraryError."""
    global _loaded
    if _loaded is None:
        with _loading:
            if _loaded is None:
                _loaded = load()
    return _loaded


def load() -> ctypes.CDLL:
    """Loads the first library found and checks it; `library()` is the one to use."""
    found, tried = _open_first()
    if found is None:
        raise LibraryNotFoundError(_not_found(tried))
    _abi_check.bind(found)
    _abi_check.check_description(found.layerwise_abi_description().decode(), found._name)
    return found


def check(status: int) -> None:
    """Raises the exception that belongs to a status; 0 is success."""
    if status != 0:
        raise _failure(status)


def _failure(status: int) -> Error:
    message = library().layerwise_last_error().decode(errors="replace")
    name = library().layerwise_status_name(status).decode(errors="replace")
    return error_for(status, name, in_python(message) or "the library left no message")


def _open_first() -> tuple[ctypes.CDLL | None, list[str]]:
    tried: list[str] = []
    for candidate, where in _candidates():
        if os.sep in candidate and not os.path.isfile(candidate):
            tried.append(f"{candidate} ({where}): no such file")
            continue
        try:
            return ctypes.CDLL(candidate), tried
        except OSError as problem:
            tried.append(f"{candidate} ({where}): {problem}")
    return None, tried


def _candidates() -> Iterator[tuple[str, str]]:
    """What to open, in order, and why. The environment variable, where set, is the only one: it is an order."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        path = os.path.join(named, _file_name()) if os.path.isdir(named) else named
        yield os.path.abspath(path), ENVIRONMENT_VARIABLE
        return
    yield str(_PACKAGE / _file_name()), "inside the package"
    for built in _build_tree():
        yield str(built), "build tree"
    for installed in _distribution():
        yield str(installed), "the distribution pip installed"
    yield ctypes.util.find_library("layerwise") or _soname(), "system loader"


def _build_tree() -> list[Path]:
    """What the source checkout around this file has built, newest first; sanitizer builds do not load here."""
    checkout = _PACKAGE.parents[2] if len(_PACKAGE.parents) > 2 else _PACKAGE
    if not (checkout / "include" / "layerwise.h").is_file() or not (checkout / "bindings" / "python").is_dir():
        return []
    built: list[Path] = []
    for pattern in ("", "*/", "*/lib/", "*/src/"):
        built += (checkout / "build").glob(pattern + _file_name())
    built = [path for path in built if "san" not in str(path.relative_to(checkout))]
    return sorted(built, key=lambda path: path.stat().st_mtime, reverse=True)


def _distribution() -> list[Path]:
    """The library of an installation whose Python files are elsewhere: pip install --editable."""
    try:
        installed = Path(str(metadata.distribution("layerwise").locate_file("layerwise"))) / _file_name()
    except metadata.PackageNotFoundError:
        return []
    return [installed] if installed.is_file() and installed.parent != _PACKAGE else []


def _file_name() -> str:
    if sys.platform == "win32":
        return "layerwise.dll"
    return "liblayerwise.dylib" if sys.platform == "darwin" else "liblayerwise.so"


def _soname() -> str:
    return _file_name() if sys.platform in ("win32", "darwin") else f"{_file_name()}.{_abi.ABI_VERSION}"


def _not_found(tried: list[str]) -> str:
    paths = "\n".join(f"  {line}" for line in tried)
    return (f"layerwise {VERSION} (ABI version {_abi.ABI_VERSION}) found no shared library it can load. Tried:\n"
            f"{paths}\nRemedy: in a source checkout pip install ./bindings/python, which builds it into the package, "
            "or cmake -S . -B build/cpu -DLAYERWISE_TESTS=OFF && cmake --build build/cpu; "
            f"or set {ENVIRONMENT_VARIABLE} to the path of {_file_name()}")


def version() -> str:
    """The library's version, such as "0.1.0"."""
    number = int(library().layerwise_version())
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def numerics_version() -> int:
    """The number of the bit contract: libraries with the same number give the same bits."""
    return int(library().layerwise_numerics_version())


def build_info() -> str:
    """What the library was built with and what it would run on here, one "key: value" a line."""
    text: bytes = library().layerwise_build_info()
    return text.decode()


def library_path() -> str:
    """The file that was loaded."""
    return str(library()._name)
