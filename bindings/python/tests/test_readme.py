"""The Python in the project's README, block by block, as a reader would paste it. A block is run where what it imports is
installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[3] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


def test_the_readme_has_numpy_pytorch_and_jax() -> None:
    assert [re.search(r"import (numpy|torch|jax)\b", block)[1] for block in BLOCKS] == ["numpy", "torch", "jax"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.search(r"import (\w+)", block)[1])
def test_the_readmes_python_runs(block: str) -> None:
    for module in re.findall(r"^import (\w+)", block, re.M):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    exec(compile(block, str(README), "exec"), {})
