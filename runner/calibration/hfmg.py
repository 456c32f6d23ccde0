"""HFMG, AMCT's range from a histogram: clip the tails as long as that lowers the squared error. Two passes, little memory.

The first pass finds the extremes, the second counts values in ``num_of_bins`` equal bins between them. AMCT sees the data
once: when a batch widens the range it spreads the old counts over new bins, as if the values in a bin were evenly spread, so
its result depends on how the data is cut into batches and on their order. Counting over the final range needs no such guess.

The search is AMCT's. From the whole histogram, and while more than a quarter of the bins is left, it drops bins on the side
where the next ``step`` values (a hundred-thousandth of all) free more of them. What is left is cut into 256 equal cells;
a value costs its squared distance from the middle of its cell (of the outermost cell, where it was dropped), with values in
a bin evenly spread. The least loss wins, the first among equals. The whole histogram is a candidate here, which it is not
in AMCT: data without a tail is not clipped.

As in AMCT the cells do not ask where zero lies, and know nothing of symmetric activations: the range found is widened to
hold zero, or evenly around it, afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON
from runner.errors import ConfigError
from runner.ranges import NUM_STEPS, Range

_BIN_CHOICES = (1024, 2048, 4096, 8192)
_STEPS = 100_000
_LEAST_SHARE = 4
_CELLS = NUM_STEPS + 1
# Candidates whose losses are computed at a time: a few arrays of so many by 257 numbers.
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Hfmg:
    """Options of HFMG, AMCT's names and defaults.

    Attributes:
        num_of_bins: of the histogram: 1024, 2048, 4096 or 8192.
        asymmetric: whether the range may lie unevenly around zero.
    """

    num_of_bins: int = 4096
    asymmetric: bool = True
    passes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.num_of_bins not in _BIN_CHOICES:
            raise ConfigError(f"observer.num_of_bins: expected 1024, 2048, 4096 or 8192, got {self.num_of_bins}.")

    def start(self, items: int) -> HfmgStatistic:
        """Return an empty statistic."""
        return HfmgStatistic(self.num_of_bins)

    def amct_params(self) -> dict[str, Any]:
        """Return the options under AMCT's keys."""
        return {
            "num_bits": 8,
            "act_algo": "hfmg",
            "num_of_bins": self.num_of_bins,
            "asymmetric": self.asymmetric,
        }


class HfmgStatistic:
    """First the extremes of a tensor, then its histogram between them."""

    def __init__(self, bins: int) -> None:
        self._low, self._high = math.inf, -math.inf
        self._counts = np.zeros(bins, np.int64)
        self._counting = False

    def reduce(self, x: NDArray[np.float32]) -> tuple[float, float] | NDArray[np.int64]:
        """Return one item's (min, max) in the first pass, its counts a bin in the second."""
        if not self._counting:
            return float(x.min()), float(x.max())
        return _histogram(x.reshape(-1), self._low, self._high, self._counts.size)

    def merge(self, partial: tuple[float, float] | NDArray[np.int64]) -> None:
        """Add one item's reduction."""
        if isinstance(partial, tuple):
            self._low, self._high = min(self._low, partial[0]), max(self._high, partial[1])
        else:
            self._counts += partial

    def end_pass(self) -> bool:
        """Return True after the extremes, False after the histogram, or where the extremes leave nothing to count."""
        if self._counting or self._high - self._low < FLT_EPSILON * NUM_STEPS:
            return False
        self._counting = True
        return True

    def result(self) -> Range:
        """Return the range of least loss."""
        if not self._counting:
            return Range(self._low, self._high)
        first, last = best_bins(self._counts)
        width = (self._high - self._low) / self._counts.size
        # The last bin's upper edge is the maximum itself, not what the sum rounds to.
        high = self._high if last == self._counts.size - 1 else self._low + (last + 1) * width
        return Range(self._low + first * width, high)


def best_bins(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return the first and the last bin of the range of least loss; ``counts`` has shape (bins,)."""
    candidates = _candidates(counts)
    return candidates[int(np.argmin(_losses(counts, np.array(candidates))))]


def _histogram(values: NDArray[np.float32], low: float, high: float, bins: int) -> NDArray[np.int64]:
    # In float64: the range of two float32 need not be one.
    position = (values.astype(np.float64) - low) * (bins / (high - low))
    return np.bincount(np.minimum(position.astype(np.int64), bins - 1), minlength=bins).astype(np.int64)


def _candidates(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return (first, last) bin of each range to try, each within the one before."""
    # below[i] values lie in the bins before i.
    below = np.concatenate([[0], np.cumsum(counts)])
    step = max(math.ceil(int(below[-1]) / _STEPS), 1)
    left, right = 0, counts.size - 1
    found = [(left, right)]
    while right - left > math.ceil(counts.size / _LEAST_SHARE):
        # The fewest bins at either end that hold `step` values, never past the other end.
        next_left = min(int(np.searchsorted(below, below[left] + step)), right)
        next_right = max(int(np.searchsorted(below, below[right + 1] - step, side="right")) - 2, left)
        if right - next_right >= next_left - left:
            right = next_right
        else:
            left = next_left
        found.append((left, right))
    return found


def _losses(counts: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the squared error of each candidate in bins squared, shape (candidates,); ``candidates`` is (candidates, 2).

    With p the density over positions counted in bins, a cell around m costs ``int (t - m)^2 p(t) dt``, which three
    antiderivatives give at any two ends: of p, t p and t^2 p.
    """
    edges = np.arange(counts.size + 1, dtype=np.float64)
    density = counts.astype(np.float64)
    whole = [np.concatenate([[0.0], np.cumsum(density * np.diff(edges**n) / n)]) for n in (1, 2, 3)]
    losses = np.empty(len(candidates))
    for start in range(0, len(candidates), _BLOCK):
        first, last = candidates[start : start + _BLOCK, :1], candidates[start : start + _BLOCK, 1:]
        width = (last - first + 1) / _CELLS
        # What was dropped belongs to the outermost cells.
        ends = first + width * np.arange(_CELLS + 1)
        ends[:, 0], ends[:, -1] = 0.0, counts.size
        middles = first + width * (np.arange(_CELLS) + 0.5)
        bins = np.minimum(ends.astype(np.int64), counts.size - 1)
        mass, moment, square = (
            np.diff(total[bins] + density[bins] * (ends**n - edges[bins] ** n) / n, axis=1)
            for n, total in enumerate(whole, start=1)
        )
        losses[start : start + _BLOCK] = (square - 2 * middles * moment + middles**2 * mass).sum(axis=1)
    return losses
