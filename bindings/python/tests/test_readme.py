"""The Python in the project's README and the package's, block by block, as a reader would paste it: each runs where
what it imports is installed, and shows something."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
READMES = {"project": PACKAGE.parents[1] / "README.md", "package": PACKAGE / "README.md"}
# Blocks that import none of these go on from code of the reader's own, or need what is seldom installed.
BLOCKS = [(name, block) for name, path in READMES.items()
          for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
          if re.search(r"^import (numpy|torch|jax)\b", block, re.M)]


@pytest.mark.parametrize("name", READMES)
def test_the_readmes_have_numpy_pytorch_and_jax(name: str) -> None:
    found = [re.search(r"import (numpy|torch|jax)\b", block)[1] for whose, block in BLOCKS if whose == name]
    assert sorted(found) == ["jax", "numpy", "torch"]


@pytest.mark.parametrize(("name", "block"), BLOCKS,
                         ids=[f"{name}, {re.search(r'import (numpy|torch|jax)', block)[1]}" for name, block in BLOCKS])
def test_the_readmes_python_runs_and_prints(name: str, block: str, capsys: pytest.CaptureFixture[str]) -> None:
    for module in re.findall(r"^import (\w+)", block, re.M):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    exec(compile(block, str(READMES[name]), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.strip()
    for comment in re.findall(r"^print\(.*\) +# (\[.*\])$", block, re.M):  # what is said to be printed
        assert printed.split() == comment.split()
