"""Values that a layer rounds, beside what int8 can say of them: histograms, and the range of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import QMAX, QMIN

# Of the range that int8 can say, which as much again as one and a half of it lies on either side of.
_INSIDE, _BESIDE = 64, 96
BINS = _INSIDE + 2 * _BESIDE
# Values that are looked at at a time, and at least a channel: what is made of them on the way stays small.
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How values are spread, and between what they are not clipped.

    Attributes:
        low: what int8 can say at least; of a weight with a scale a channel, what the widest channel can.
        high: what it can say at most.
        counts: of values in each of ``BINS`` bins, 64 from ``low`` to ``high`` and 96 as wide on either side; what lies
            beyond counts in the first and the last one.
        below: values that int8 clips from below.
        above: values that it clips from above.
        channels: least and most of each channel, shape (2, channels).
        limits: least and most that int8 can say in each channel, shape (2, channels), or (2, 1) where it is the same in all.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    below: int
    above: int
    channels: NDArray[np.float32]
    limits: NDArray[np.float32]

    @property
    def clipped(self) -> float:
        """The share of values that are clipped, 0..1."""
        return (self.below + self.above) / max(1, int(self.counts.sum()))

    @property
    def edges(self) -> NDArray[np.float64]:
        """The ends of the bins, shape (``BINS`` + 1,)."""
        return self.low + (np.arange(BINS + 1) - _BESIDE) * (self.high - self.low) / _INSIDE


@dataclass(frozen=True, slots=True, eq=False)
class LayerSpread:
    """What a layer rounds.

    Attributes:
        layer: its name.
        input: what it reads in float, as its rounding sees it; None where no item gave it a value.
        weight: its float weight; None of one without.
    """

    layer: str
    input: Spread | None
    weight: Spread | None


def input_spread(values: NDArray[np.float32], axis: int, scale: float, zero_point: int) -> Spread | None:
    """Return the spread of what a layer reads of an item; None where there is nothing.

    Args:
        values: of any shape.
        axis: of the channels.
        scale: of its codes.
        zero_point: of its codes.
    """
    if not values.size:
        return None
    limits = np.asarray([[(code - zero_point) * scale] for code in (QMIN, QMAX)], np.float32)
    return _spread(np.moveaxis(values, axis, 0), limits)


def weight_spread(rows: NDArray[np.float32], scales: NDArray[np.float32], largest_code: int) -> Spread:
    """Return the spread of a weight.

    Args:
        rows: not empty, output channels first.
        scales: one, or one a channel.
        largest_code: that weights are given.
    """
    limits = np.stack([-(largest_code + 1) * scales, largest_code * scales])
    return _spread(rows, limits.astype(np.float32))


def together(spreads: Sequence[Spread]) -> Spread | None:
    """Return the spread of several items' values with the same limits; None of none, or where their channels differ."""
    if len({spread.channels.shape for spread in spreads}) != 1:
        return None
    first = spreads[0]
    return Spread(
        first.low,
        first.high,
        np.sum([spread.counts for spread in spreads], axis=0),
        sum(spread.below for spread in spreads),
        sum(spread.above for spread in spreads),
        np.stack(
            [
                np.min([spread.channels[0] for spread in spreads], axis=0),
                np.max([spread.channels[1] for spread in spreads], axis=0),
            ]
        ),
        first.limits,
    )


def _spread(channels: NDArray[np.float32], limits: NDArray[np.float32]) -> Spread:
    """Return the spread of values, the channels' axis first; what is not finite counts as 0."""
    low, high = float(limits[0].min()), float(limits[1].max())
    of_each = np.broadcast_to(limits, (2, len(channels)))
    counts, below, above, ranges = np.zeros(BINS, np.int64), 0, 0, list[NDArray[np.float32]]()
    some = max(1, _PIECE * len(channels) // channels.size)
    for start in range(0, len(channels), some):
        piece = slice(start, start + some)
        rows = channels[piece].reshape(len(channels[piece]), -1)
        if not np.isfinite(rows).all():
            rows = np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
        bins = (rows.reshape(-1) - np.float32(low)) * np.float32(_INSIDE / (high - low)) + np.float32(_BESIDE)
        counts += np.bincount(np.clip(bins, 0, BINS - 1).astype(np.int64), minlength=BINS)
        below += int(np.count_nonzero(rows < of_each[0, piece, None]))
        above += int(np.count_nonzero(rows > of_each[1, piece, None]))
        ranges.append(np.stack([rows.min(axis=1), rows.max(axis=1)]))
    return Spread(low, high, counts, below, above, np.concatenate(ranges, axis=1), limits)
