"""HFMG, AMCT's range from a histogram: clip the tails as long as that lowers the squared error.

Values are counted in ``num_of_bins`` equal bins between the extremes. AMCT sees the data once: when a batch widens the range it
spreads the old counts over new bins, as if the values in a bin were evenly spread, so its result depends on how the data is
cut into batches and on their order. Here a histogram whose own bins merge exactly (``histogram.py``) is spread so at the end,
once: the counts are those of values that moved by less than one of its bins. The exact form counts over the final range, in a
second pass.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON
from runner.calibration.histogram import Histogram, HistogramStatistic
from runner.calibration.observer import TensorStatistic
from runner.calibration.rounding_error import EvenlySpread
from runner.errors import ConfigError
from runner.ranges import NUM_STEPS, Range

_BIN_CHOICES = (1024, 2048, 4096, 8192)
_STEPS = 100_000
_LEAST_SHARE = 4
_CELLS = NUM_STEPS + 1
# Candidates whose losses are computed at a time: a few arrays of so many by 255 numbers.
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Hfmg:
    """Options of HFMG, AMCT's names and defaults.

    Attributes:
        num_of_bins: of the histogram: 1024, 2048, 4096 or 8192.
        asymmetric: whether the range may lie unevenly around zero.
        exact: count over the extremes of all items from the start, in a second pass.
    """

    num_of_bins: int = 4096
    asymmetric: bool = True
    exact: bool = False

    def __post_init__(self) -> None:
        if self.num_of_bins not in _BIN_CHOICES:
            raise ConfigError(f"observer.num_of_bins: expected 1024, 2048, 4096 or 8192, got {self.num_of_bins}.")

    @property
    def passes(self) -> int:
        """How often a statistic usually wants to see every item."""
        return 2 if self.exact else 1

    def start(self, items: int) -> TensorStatistic:
        """Return an empty statistic."""
        return HfmgStatistic(self.num_of_bins) if self.exact else HistogramStatistic(self.choose, items)

    def choose(self, histogram: Histogram) -> Range:
        """Return the range of least loss over a histogram."""
        if _leaves_nothing(histogram.low, histogram.high):
            return Range(histogram.low, histogram.high)
        return _best_range(histogram.low, histogram.high, histogram.in_bins(self.num_of_bins))

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
        if self._counting or _leaves_nothing(self._low, self._high):
            return False
        self._counting = True
        return True

    def result(self) -> Range:
        """Return the range of least loss."""
        if not self._counting:
            return Range(self._low, self._high)
        return _best_range(self._low, self._high, self._counts)


def _leaves_nothing(low: float, high: float) -> bool:
    return high - low < FLT_EPSILON * NUM_STEPS


def _best_range(low: float, high: float, counts: NDArray[np.int64]) -> Range:
    first, last = best_bins(counts)
    width = (high - low) / counts.size
    # The last bin's upper edge is the maximum itself, not what the sum rounds to.
    return Range(low + first * width, high if last == counts.size - 1 else low + (last + 1) * width)


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
    # From each bin inwards over the fewest that hold `step` values, from below and from above.
    upwards = np.searchsorted(below, below[:-1] + step).tolist()
    downwards = (np.searchsorted(below, below[1:] - step, side="right") - 2).tolist()
    left, right = 0, counts.size - 1
    found = [(left, right)]
    while right - left > math.ceil(counts.size / _LEAST_SHARE):
        # Never past the other end.
        next_left, next_right = min(upwards[left], right), max(downwards[right], left)
        if right - next_right >= next_left - left:
            right = next_right
        else:
            left = next_left
        found.append((left, right))
    return found


def _losses(counts: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the squared error of each candidate in bins squared, shape (candidates,); ``candidates`` is (candidates, 2)."""
    spread = EvenlySpread(np.arange(counts.size + 1, dtype=np.float64), counts)
    losses = np.empty(len(candidates))
    for start in range(0, len(candidates), _BLOCK):
        first, last = candidates[start : start + _BLOCK].T
        width = (last - first + 1) / _CELLS
        # What was dropped belongs to the outermost cells: they have no outer edge.
        edges = first[:, None] + width[:, None] * np.arange(1, _CELLS)
        losses[start : start + _BLOCK] = spread.losses(
            first + width * (_CELLS - 0.5), width, edges, edges.astype(np.int64)
        )
    return losses
