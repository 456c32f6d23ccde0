"""The extremes of a tensor after leaving out the share of values beyond a percentile.

Of N values the k-th largest and the k-th smallest are wanted, ``k = N - int(percentile * N)`` at each end (AMCT's rule, with
k = 1 for a percentile of 1). A histogram gives them less than a bin off.
The exact way, in little memory too: N is known only at the end; while items are of one size it can be foretold, and each item
gives up only as many of its outermost values as may be needed. Where items differ in size and too few turn out to have been
kept, one more pass keeps enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON
from runner.calibration.histogram import Histogram
from runner.errors import ConfigError
from runner.ranges import Range


def check_percentile(key: str, percentile: float) -> None:
    """Raise a ConfigError unless the share of values kept at one end lies in (0.5, 1]."""
    if not 0.5 < percentile <= 1.0:
        raise ConfigError(f"observer.{key}: expected a share in (0.5, 1], got {percentile}.")


def kept_range(histogram: Histogram, max_percentile: float, min_percentile: float) -> Range:
    """Return the k-th smallest and the k-th largest value, each less than a bin off; the range seen where k is 1."""
    count = int(histogram.counts.sum())
    k_max, k_min = _rank(count, max_percentile), _rank(count, min_percentile)
    return Range(histogram.smallest(k_min), histogram.smallest(count + 1 - k_max))


@dataclass(frozen=True, slots=True, eq=False)
class ItemExtremes:
    """Of one item: the number of values, and the largest and smallest ones in ascending order."""

    count: int
    top: NDArray[np.float32]
    bottom: NDArray[np.float32]


class Extremes:
    """Gathers the k-th extremes of one tensor over a known number of items.

    Args:
        max_percentile, min_percentile: share of values kept at each end, in (0.5, 1].
        items: how many there will be in a pass.
    """

    def __init__(self, max_percentile: float, min_percentile: float, items: int) -> None:
        self._percentiles = (max_percentile, min_percentile)
        self._items = items
        self._total = 0  # known after a pass
        self._count = 0
        self._kept: int | None = None  # how many of the outermost values are certain; None: all of them
        self._top = np.empty(0, np.float32)
        self._bottom = np.empty(0, np.float32)

    def reduce(self, values: NDArray[np.float32]) -> ItemExtremes:
        """Return one item's outermost values, as many as may be needed; ``values`` has shape (n,)."""
        keep = min(values.size, self._keep(values.size))
        if keep == 1:
            return ItemExtremes(values.size, values.max(keepdims=True), values.min(keepdims=True))
        first_top = values.size - keep
        # Both ends at once: a partition of its own for the lower end takes ten times as long where half the values are 0.
        parted = np.partition(values, [keep - 1, first_top])
        return ItemExtremes(values.size, np.sort(parted[first_top:]), np.sort(parted[:keep]))

    def merge(self, partial: ItemExtremes) -> None:
        """Add one item's reduction."""
        self._count += partial.count
        limit = max(self._keep(partial.count), self._top.size)
        top, bottom = np.concatenate([self._top, partial.top]), np.concatenate([self._bottom, partial.bottom])
        if partial.top.size < partial.count or top.size > limit:
            # From here on only the outermost `kept` values are known for certain.
            kept = min(partial.top.size if partial.top.size < partial.count else limit, limit)
            self._kept = kept if self._kept is None else min(self._kept, kept)
        self._top, self._bottom = np.sort(top)[-limit:], np.sort(bottom)[:limit]

    def end_pass(self) -> bool:
        """Close a pass over all items; return whether another is needed because too few values were kept."""
        if self._kept is None or max(self._ranks(self._count)) <= self._kept:
            return False
        self._total, self._count, self._kept = self._count, 0, None
        self._top = self._bottom = np.empty(0, np.float32)
        return True

    def bounds(self) -> tuple[np.float32, np.float32]:
        """Return the k-th smallest and the k-th largest value, after the last pass."""
        k_max, k_min = self._ranks(self._count)
        return np.float32(self._bottom[k_min - 1]), np.float32(self._top[-k_max])

    def _keep(self, size: int) -> int:
        """How many extremes of an item of ``size`` values may be needed, if every item is as large as this one."""
        return max(self._ranks(self._total or size * self._items)) + 1

    def _ranks(self, count: int) -> tuple[int, int]:
        """The k of the largest and of the smallest values."""
        k_max, k_min = (_rank(count, percentile) for percentile in self._percentiles)
        return k_max, k_min


def _rank(count: int, percentile: float) -> int:
    """Return k such that the k-th largest of ``count`` values is the extreme that the percentile keeps."""
    if 1.0 - percentile < FLT_EPSILON:
        return 1
    return max(1, count - int(percentile * count))
