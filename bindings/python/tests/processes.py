"""Python code in a process of its own, with this package and its library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import layerwise


def python(code: str, *arguments: object, **environment: object) -> list[str]:
    """The lines that it printed. environment: variables by name, None: not set."""
    paths = {"LAYERWISE_LIBRARY": layerwise.library_path(), "PYTHONPATH": str(Path(layerwise.__file__).parents[1])}
    variables = {**os.environ, **paths, **environment}
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
                          timeout=300, env={k: str(v) for k, v in variables.items() if v is not None})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def compiler() -> str:
    """Skips where there is none."""
    from layerwise import _build

    try:
        return _build.compiler()[0]
    except layerwise.LibraryError as problem:
        pytest.skip(str(problem))
