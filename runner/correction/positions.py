"""The positions of a layer's input and output that a correction looks at: some of all items, evenly spaced in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.correction.parallel import each_of
from runner.graph.layers import Layer

# Values between these have squares, and sums of many of them, that float32 holds with all their digits.
_SMALL, _LARGE = 1e-12, 1e12


def by_channel(y: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Return a layer's input or output as (positions, channels); of a single item a view."""
    if layer.spatial:
        return y.swapaxes(0, 1).reshape(y.shape[1], -1).T
    return y.reshape(-1, y.shape[-1])


def some_positions(
    array: Callable[[int], NDArray[np.float32]], layer: Layer, items: int, positions: int, callers: int
) -> tuple[NDArray[np.float32], list[int]]:
    """Return about so many positions of all items, evenly spaced in each, and the place of each item's first.

    Args:
        array: an item's input or output of the layer.
        layer: whose it is.
        items: how many there are.
        positions: of all of them.
        callers: threads to work in.

    Returns:
        Shape (positions, channels), the channels one after the other in memory.
    """
    first = by_channel(array(0), layer)
    step = max(1, items * len(first) // positions)
    sizes = [len(by_channel(array(item), layer)[item % step :: step]) for item in range(items)]
    ends = np.cumsum(sizes).tolist()
    some = np.empty((first.shape[1], ends[-1]), np.float32)

    def take(item: int) -> None:
        some[:, ends[item] - sizes[item] : ends[item]] = by_channel(array(item), layer).T[:, item % step :: step]

    each_of(take, range(items), callers)
    return some.T, [end - size for end, size in zip(ends, sizes, strict=True) if size]


def unit_of_squares(values: NDArray[Any]) -> float:
    """Return a power of two to count values in, 1 unless their squares, or sums of these, may leave float32."""
    largest = largest_of(values)
    return unit_of(largest if np.isfinite(largest) else largest_of(values[np.isfinite(values)]))


def unit_of(largest: float) -> float:
    """Return the unit of values that are finite and no larger."""
    if largest == 0 or _SMALL < largest < _LARGE:
        return 1.0
    return 2.0 ** int(np.frexp(largest)[1])


def largest_of(values: NDArray[Any]) -> float:
    """Return the largest magnitude, NaN where one is; no array of the values' size is made for it."""
    return float(np.maximum(values.max(initial=0.0), -values.min(initial=0.0)))
