"""How often a tensor's values fall into bins of one width: counted in one pass over the items, the same in any order.

Of a tensor that has more than 2**24 values over all items, what lies in the inner three quarters of an item's range is counted
by a sample: at most so many values, evenly spaced in each item, from item to item at other places, over enough items all places
as often. Each counts for as many as it stands for. What lies beyond, where few values may cost a range much, is counted one by
one (unless they are many, which a sample counts as well). Extremes are of all values. What chance adds to a mean over the inner
part is a four-thousandth, and nothing to what clipping costs.

A bin is a power of two wide, the power following from the largest magnitude, so a value's bin number needs one exact
multiplication, and bins merge in pairs, exactly, when an item widens the range. The counts are therefore those that the
final width would have given from the start. Bin 0 holds (-width, width), bin n > 0 holds [n width, (n + 1) width), bins below
mirror them; the outermost ones end at the extremes, which are exact: a spike there (a ReLU's 0, a ReLU6's 6) keeps its place.

What is computed from a histogram is what the exact form would give if each value moved inside its bin. A bin's width is at most
2**-13 of the largest magnitude: a thirty-second of a code's step, a sixty-fourth in ranges that lie evenly around zero. (Bin 0
is twice as wide where values of both signs lie in it.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.ranges import Range

# The largest magnitude falls into a bin from 2**13 to 2**14 - 1.
_BITS = 14
# Below 2**-100 bins get no narrower: their reciprocal must be a float32.
_LEAST_EXPONENT = -100
# Values handled at a time: the buffer stays in a core's cache.
_BLOCK = 1 << 17
# Of a tensor, over all items.
_MOST_COUNTED = 1 << 24
# Of an item.
_LEAST_COUNTED = 1 << 10
# Values that are looked at together for any beyond the inner part; these are many where one of so many columns holds one.
_COLUMN, _MANY = 16, 8


@dataclass(slots=True, eq=False)
class Histogram:
    """Counts of finite values.

    Attributes:
        low, high: the smallest and the largest value.
        exponent: bins are ``2**exponent`` wide.
        first: the number of the first bin counted.
        counts: values in each bin from there on, shape (bins,).
    """

    low: float
    high: float
    exponent: int
    first: int
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.float32], ends: Range | None = None) -> Histogram:
        """Return the histogram of at least one value, shape (n,).

        Args:
            values: to count.
            ends: the smallest and the largest of all, where these are some of more; their own by default.
        """
        low, high = (values.min(), values.max()) if ends is None else (np.float32(ends.low), np.float32(ends.high))
        exponent = max(int(np.frexp(max(-low, high))[1]), _LEAST_EXPONENT) - _BITS
        per_bin = np.ldexp(np.float32(1), -exponent)
        first, last = int(low * per_bin), int(high * per_bin)
        counts: NDArray[np.int64] | None = None
        buffer = np.empty(min(_BLOCK, values.size), np.int64)
        for start in range(0, values.size, _BLOCK):
            block = values[start : start + _BLOCK]
            bins = buffer[: block.size]
            np.multiply(block, per_bin, out=bins, casting="unsafe")  # towards zero
            if first:
                np.subtract(bins, first, out=bins)
            found = np.bincount(bins, minlength=last - first + 1)
            counts = found if counts is None else np.add(counts, found, out=counts)
        assert counts is not None  # there is a value
        return cls(float(low), float(high), exponent, first, counts)

    @classmethod
    def of_some(cls, values: NDArray[np.float32], ends: Range, step: int, start: int) -> Histogram:
        """Return the histogram of values, shape (n,), of which the inner ones are counted by every ``step``-th.

        Args:
            values: to count.
            ends: the smallest and the largest of them.
            step: counts of the sample are multiplied by it.
            start: of the sample, below ``step``.
        """
        found = cls.of(values[start::step], ends)
        if step == 1:
            return found
        found.counts *= step
        last = found.first + found.counts.size - 1
        # The last bins of the inner part.
        low, high = -(-min(found.first, 0) * 3 // 4), max(last, 0) * 3 // 4
        width = np.ldexp(np.float32(1), found.exponent)
        outer = _beyond(
            values,
            float((low - 1) * width) if found.first < low else -math.inf,
            float((high + 1) * width) if last > high else math.inf,
        )
        if outer is not None:
            found.counts[: max(0, low - found.first)] = 0
            found.counts[max(0, high + 1 - found.first) :] = 0
            if outer.size:
                found.counts += cls.of(outer, ends).counts
        return found

    def add(self, other: Histogram) -> None:
        """Count the other's values too."""
        exponent = max(self.exponent, other.exponent)
        self._widen(exponent)
        first, counts = _merged_bins(other.first, other.counts, exponent - other.exponent)
        begin = min(self.first, first)
        end = max(self.first + self.counts.size, first + counts.size)
        if end - begin > self.counts.size:
            mine = np.zeros(end - begin, np.int64)
            mine[self.first - begin : self.first - begin + self.counts.size] = self.counts
            self.first, self.counts = begin, mine
        self.counts[first - begin : first - begin + counts.size] += counts
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def edges(self) -> NDArray[np.float64]:
        """Return the bins' edges in ascending order, shape (bins + 1,), the outermost at the extremes."""
        number = np.arange(self.first, self.first + self.counts.size + 1)
        # Bin n begins at n, or at n - 1 where values are rounded up towards zero.
        edges = np.ldexp((number - (number <= 0)).astype(np.float64), self.exponent)
        return np.clip(edges, self.low, self.high)

    def smallest(self, rank: int) -> float:
        """Return the ``rank``-th smallest value, within the bin that it lies in; the first and the last are exact."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        if rank <= 1 or rank >= below[-1]:
            return self.low if rank <= 1 else self.high
        bin_ = int(np.searchsorted(below, rank)) - 1
        left, right = self.edges()[bin_ : bin_ + 2]
        return float(left + (right - left) * (rank - 0.5 - below[bin_]) / self.counts[bin_])

    def in_bins(self, bins: int) -> NDArray[np.int64]:
        """Return the counts in equal bins from extreme to extreme, shape (bins,), values in a bin taken as evenly spread."""
        below = np.concatenate([[0.0], np.cumsum(self.counts)])
        wanted = np.linspace(self.low, self.high, bins + 1)
        total = np.rint(np.interp(wanted, self.edges(), below))
        total[0], total[-1] = 0, below[-1]  # where a spike stands on the extreme, all of it lies inside
        counts: NDArray[np.int64] = np.diff(total).astype(np.int64)
        return counts

    def _widen(self, exponent: int) -> None:
        self.first, self.counts = _merged_bins(self.first, self.counts, exponent - self.exponent)
        self.exponent = exponent


class HistogramStatistic:
    """A tensor's histogram in one pass; a ``SamplingStatistic``.

    Args:
        choose: the range, from the histogram.
        items: how many there will be.
    """

    def __init__(self, choose: Callable[[Histogram], Range], items: int) -> None:
        self._choose = choose
        self._most = max(_LEAST_COUNTED, _MOST_COUNTED // max(1, items))
        self._histogram: Histogram | None = None

    def reduce(self, x: NDArray[np.float32]) -> Histogram:
        """Return one item's histogram, of all its values."""
        return Histogram.of(x.reshape(-1))

    def reduce_some(self, x: NDArray[np.float32], ends: Range, place: int) -> Histogram:
        """Return one item's histogram, of as many values as are wanted of it."""
        step = _step(x.size, self._most)
        return Histogram.of_some(x.reshape(-1), ends, step, place % step)

    def merge(self, partial: Histogram) -> None:
        """Add one item's."""
        if self._histogram is None:
            self._histogram = partial
        else:
            self._histogram.add(partial)

    def end_pass(self) -> bool:
        """One pass is enough."""
        return False

    def result(self) -> Range:
        """Return the chosen range."""
        assert self._histogram is not None  # there is at least one item
        return self._choose(self._histogram)


def _beyond(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32] | None:
    """Return the values that are at most ``low`` or at least ``high``; None where there may be many."""
    whole = values.size // _COLUMN * _COLUMN
    columns = values[:whole].reshape(_COLUMN, -1)
    # Most columns hold none: a look at their extremes is all that the values cost.
    held = np.zeros(columns.shape[1], bool)
    if high < math.inf:
        held |= columns.max(axis=0) >= high
    if low > -math.inf:
        held |= columns.min(axis=0) <= low
    if np.count_nonzero(held) * _MANY > held.size:
        return None
    some = np.concatenate([columns[:, held].reshape(-1), values[whole:]])
    return some[(some <= low) | (some >= high)]


def _step(size: int, most: int) -> int:
    """Return the distance between values of which at most ``most`` are wanted: no part of a row or a channel fits into it."""
    step = -(-size // most)
    while math.gcd(step, size) != 1:
        step += 1
    return step


def _merged_bins(first: int, counts: NDArray[np.int64], doublings: int) -> tuple[int, NDArray[np.int64]]:
    """Return the first bin and the counts after the bin width has doubled so many times."""
    if doublings == 0:
        return first, counts
    # More than 62 doublings leave bin 0 alone, as 62 do.
    ratio = 1 << min(doublings, 62)
    last = first + counts.size - 1
    number = np.arange(_towards_zero(first, ratio), _towards_zero(last, ratio) + 1)
    begins = np.where(number > 0, number * ratio, (number - 1) * ratio + 1)
    return int(number[0]), np.add.reduceat(counts, np.maximum(begins - first, 0))


def _towards_zero(number: int, ratio: int) -> int:
    return number // ratio if number >= 0 else -(-number // ratio)
