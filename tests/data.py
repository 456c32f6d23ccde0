"""Datasets and images made by the tests themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runner.dataset.item import ONLY_INPUT, Item, digest


def normal_items(count: int, *shape: int, seed: int = 1) -> NDArray[np.float32]:
    """Return ``count`` items of normally distributed values."""
    return np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32)


@dataclass
class Items:
    """A dataset in memory; counts how often an item was read."""

    x: Sequence[NDArray] | NDArray
    y: Sequence[int | None] | None = None
    key: str = ONLY_INPUT
    reads: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.x)

    def item(self, index: int) -> Item:
        self.reads.append(index)
        arrays: Mapping[str, NDArray] = {self.key: np.asarray(self.x[index])}
        return Item(arrays, self.label(index))

    def label(self, index: int) -> int | None:
        label = None if self.y is None else self.y[index]
        return None if label is None else int(label)

    def name(self, index: int) -> str:
        return f"item {index}"

    def fingerprint(self, index: int) -> str:
        return digest(np.asarray(self.x[index]).tobytes())

    def describe(self) -> str:
        return "items in memory"


def write_image(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write [height, width, 3] bytes as a lossless image."""
    Image.fromarray(pixels).save(path)
    return path


def random_pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random bytes of shape [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise(seed, *shape):
    """Return standard normal float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
