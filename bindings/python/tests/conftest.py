"""What the tests share: the repository's test vectors and the arrays of a small model."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

# Tests that are about it say how a step finds its tensors; the others compile nothing, and take nothing from a cache.
os.environ.setdefault("LAYERWISE_TORCH_LIBRARY", "none")

REPOSITORY = Path(__file__).resolve().parents[3]
VECTORS = REPOSITORY / "tests" / "vectors"


def make_model(sizes: list[int], seed: int = 0) -> SimpleNamespace:
    """Weights, gradients and zeroed state for layers of these sizes, as packed float32 arrays."""
    random = np.random.default_rng(seed)
    count = sum(sizes)
    return SimpleNamespace(
        sizes=sizes,
        weights=random.standard_normal(count).astype(np.float32),
        grads=random.standard_normal(count).astype(np.float32),
        first_moment=np.zeros(count, np.float32),
        second_moment=np.zeros(len(sizes), np.float32))


def split(array: Any, sizes: list[int]) -> list[Any]:
    """Copies of a packed array's layers, each in memory of its own."""
    return [part.copy() for part in np.split(array, np.cumsum(sizes)[:-1])]


@pytest.fixture
def model() -> SimpleNamespace:
    return make_model([5, 1, 1000, 9000, 17])


@pytest.fixture(scope="session")
def jax_handlers() -> None:
    """Skips where the handlers for XLA cannot be had."""
    from layerwise import LibraryError
    from layerwise.jax import _handlers

    try:
        _handlers.register()
    except LibraryError as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def compiled_watch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The functions of watch.cpp; skips where it cannot be compiled."""
    from layerwise import LibraryError
    from layerwise.torch import _native

    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("LAYERWISE_CACHE"):
            patch.setenv("LAYERWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            return _native.Functions(_native.build().make())
        except LibraryError as problem:
            pytest.skip(f"watch.cpp cannot be compiled here: {problem}")


@pytest.fixture(params=["in Python", "compiled"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a step of layerwise.torch finds its tensors."""
    from layerwise.torch import _native

    functions = request.getfixturevalue("compiled_watch") if request.param == "compiled" else None
    monkeypatch.setattr(_native.native, "found", lambda: functions)
    monkeypatch.setattr(_native.native, "functions", functions)
    return str(request.param)
