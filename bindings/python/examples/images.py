"""Small images and their classes, without a download: scikit-learn's digits, or drawn ones where it is not installed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Parts(NamedTuple):
    """float32 images (count, 8, 8) from 0 to 1, and int64 classes (count,), 0 to 9, of each part."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


def load() -> Parts:
    try:
        from sklearn.datasets import load_digits

        found = load_digits()
        images, classes = found.images, found.target
    except ImportError:
        images, classes = _drawn()
    order = np.random.default_rng(0).permutation(len(images))
    images, classes = images[order].astype(np.float32) / 16, classes[order].astype(np.int64)
    one, two = int(0.6 * len(order)), int(0.8 * len(order))
    return Parts((images[:one], classes[:one]), (images[one:two], classes[one:two]), (images[two:], classes[two:]))


def _drawn() -> tuple[Array, Array]:
    """Ten patterns, each image one of them, moved by a pixel or none, under noise."""
    random = np.random.default_rng(1)
    patterns = random.integers(0, 17, (10, 8, 8)) * (random.random((10, 8, 8)) < 0.4)
    classes = random.integers(0, 10, 1800)
    moved = [np.roll(patterns[each], tuple(random.integers(-1, 2, 2)), (0, 1)) for each in classes]
    return np.clip(np.stack(moved) + random.normal(0, 4, (1800, 8, 8)), 0, 16), classes
