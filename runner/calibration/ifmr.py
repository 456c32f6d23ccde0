"""IFMR, AMCT's activation range: the clipping that rounds the seen values with the least squared error.

First the extremes, after leaving out the share beyond a percentile. Then, for each of the candidate ratios (61 for 0.7 .. 1.3
in steps of 0.01), the squared error of rounding every value; the first minimum wins.

    asymmetric: only the maximum is searched, c = ratio * max, s = (c - min) / 255, clip to [min, c]
    symmetric:  c = ratio * max(|min|, |max|), s = c / (128 or 127), clip to [-c, c]
    loss = sum (round(clip(x) / s) * s - x)^2

All this over a histogram, values in a bin taken as evenly spread: one pass. A value moves by less than the width ``w`` of its
bin (``histogram.py``), which changes what it costs by less than ``w (2 |error| + w)``, where ``error`` is its own, at most
``s / 2`` where nothing is clipped; for values that are evenly spread the changes cancel. The extremes that percentiles below 1
leave stand within a bin too. The exact form tries every candidate on every value, in a second pass: some twenty times the work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON, QMAX, QMIN
from runner.calibration.extremes import Extremes, ItemExtremes, check_percentile, kept_range
from runner.calibration.histogram import Histogram, HistogramStatistic
from runner.calibration.observer import TensorStatistic
from runner.calibration.rounding_error import EvenlySpread
from runner.errors import ConfigError
from runner.ranges import NUM_STEPS, Range

# Values handled at a time: the buffers stay in a core's cache.
_BLOCK = 1 << 15

_Bounds = tuple[np.float32, np.float32]
# Low, high and scale.
_Candidate = tuple[np.float32, np.float32, np.float32]


# Each is tried on every tensor; AMCT's own range has 61.
MOST_RATIOS = 100_000


@dataclass(frozen=True, slots=True)
class Ifmr:
    """Options of IFMR, AMCT's names and defaults.

    Attributes:
        max_percentile, min_percentile: share of values kept at each end, in (0.5, 1].
        search_range: smallest and largest ratio tried.
        search_step: distance between ratios.
        asymmetric: whether the range may lie unevenly around zero.
        exact: round the very values instead of a histogram's bins.
    """

    max_percentile: float = 0.999999
    min_percentile: float = 0.999999
    search_range: list[float] = field(default_factory=lambda: [0.7, 1.3])
    search_step: float = 0.01
    asymmetric: bool = True
    exact: bool = False

    def __post_init__(self) -> None:
        check_percentile("max_percentile", self.max_percentile)
        check_percentile("min_percentile", self.min_percentile)
        if len(self.search_range) != 2 or not 0 < self.search_range[0] < self.search_range[1]:
            raise ConfigError(
                f"observer.search_range: expected [start, end] with 0 < start < end, got {self.search_range}."
            )
        if not 0 < self.search_step <= round(self.search_range[1] - self.search_range[0], 9):
            raise ConfigError(
                f"observer.search_step: expected more than 0 and at most end - start, got {self.search_step}."
            )
        if self.search_range[1] - self.search_range[0] > MOST_RATIOS * self.search_step:
            raise ConfigError(
                f"observer.search_step: expected at most {MOST_RATIOS} ratios in {self.search_range}, got steps of "
                f"{self.search_step}."
            )

    @property
    def passes(self) -> int:
        """How often a statistic usually wants to see every item."""
        return 2 if self.exact else 1

    def ratios(self) -> NDArray[np.float32]:
        """Return the candidate ratios: 61 for the defaults, because (1.3 - 0.7) / 0.01 rounds up past 60."""
        return np.arange(self.search_range[0], self.search_range[1], self.search_step).astype(np.float32)

    def start(self, items: int) -> TensorStatistic:
        """Return an empty statistic."""
        return IfmrStatistic(self, items) if self.exact else HistogramStatistic(self.choose, items)

    def choose(self, histogram: Histogram) -> Range:
        """Return the candidate range of least loss over a histogram."""
        bounds = _with_zero(kept_range(histogram, self.max_percentile, self.min_percentile))
        candidates = _candidates(bounds, self)
        losses = _bin_losses(histogram, candidates) if len(candidates) > 1 else np.zeros(1)
        return _best(candidates, losses, bounds, self)

    def amct_params(self) -> dict[str, Any]:
        """Return the options under AMCT's keys."""
        return {
            "num_bits": 8,
            "max_percentile": self.max_percentile,
            "min_percentile": self.min_percentile,
            "search_range": list(self.search_range),
            "search_step": self.search_step,
            "act_algo": "ifmr",
            "asymmetric": self.asymmetric,
        }


class IfmrStatistic:
    """First the extremes of a tensor, then the loss of each candidate."""

    def __init__(self, options: Ifmr, items: int) -> None:
        self._options = options
        self._extremes = Extremes(options.max_percentile, options.min_percentile, items)
        self._bounds: _Bounds | None = None
        self._candidates: list[_Candidate] = []
        self._losses = np.zeros(0)

    def reduce(self, x: NDArray[np.float32]) -> ItemExtremes | NDArray[np.float64]:
        """Return one item's extremes (first pass) or candidate losses (second), float64 of shape (candidates,)."""
        values = x.reshape(-1)
        return self._extremes.reduce(values) if self._bounds is None else _losses(values, self._candidates)

    def merge(self, partial: ItemExtremes | NDArray[np.float64]) -> None:
        """Add one item's reduction."""
        if isinstance(partial, ItemExtremes):
            self._extremes.merge(partial)
        else:
            self._losses += partial

    def end_pass(self) -> bool:
        """Return True after the extremes, False after the losses."""
        if self._bounds is not None:
            return False
        if self._extremes.end_pass():
            return True
        low, high = self._extremes.bounds()
        self._bounds = _with_zero(Range(float(low), float(high)))
        self._candidates = _candidates(self._bounds, self._options)
        self._losses = np.zeros(len(self._candidates))
        return len(self._candidates) > 1

    def result(self) -> Range:
        """Return the candidate range of least loss, the first among equals."""
        assert self._bounds is not None  # end_pass was called
        return _best(self._candidates, self._losses, self._bounds, self._options)


def _with_zero(kept: Range) -> _Bounds:
    return min(np.float32(0), np.float32(kept.low)), max(np.float32(0), np.float32(kept.high))


def _best(candidates: list[_Candidate], losses: NDArray[np.float64], bounds: _Bounds, options: Ifmr) -> Range:
    """Return the candidate range of least loss, the first among equals."""
    low, high, scale = candidates[int(np.argmin(losses))]
    if not options.asymmetric and bounds[1] < -bounds[0]:
        # Divided by 128: the last code stands one step short of -low, and so the scale is found again.
        high = np.float32(QMAX) * scale
    return Range(float(low), float(high))


def _candidates(bounds: _Bounds, options: Ifmr) -> list[_Candidate]:
    """Return (low, high, scale) of each ratio, in order."""
    low, high = bounds
    with np.errstate(over="ignore"):
        return _candidates_of(low, high, options)


def _candidates_of(low: np.float32, high: np.float32, options: Ifmr) -> list[_Candidate]:
    if options.asymmetric:
        ranges = [(low, ratio * high) for ratio in options.ratios()]
        scales = [(c - low) / np.float32(NUM_STEPS) for _, c in ranges]
    else:
        magnitude, divisor = max(high, -low), QMAX if high >= -low else -QMIN
        ranges = [(-ratio * magnitude, ratio * magnitude) for ratio in options.ratios()]
        scales = [c / np.float32(divisor) for _, c in ranges]
    return [
        (np.float32(a), np.float32(c), np.float32(1) if s < FLT_EPSILON else np.float32(s))
        for (a, c), s in zip(ranges, scales, strict=True)
    ]


def _bin_losses(histogram: Histogram, candidates: list[_Candidate]) -> NDArray[np.float64]:
    """Return the summed squared rounding error of the histogram's values for each candidate, shape (candidates,)."""
    spread = EvenlySpread(histogram.edges(), histogram.counts)
    losses = np.empty(len(candidates))
    for index, candidate in enumerate(candidates):
        low, high, step = np.array(candidate, np.float64)
        bottom, top = np.rint(low / step), np.rint(high / step)
        edges = (np.arange(bottom, top) + 0.5) * step
        losses[index : index + 1] = spread.losses(top[None] * step, step[None], edges[None])
    return losses


def _losses(values: NDArray[np.float32], candidates: list[_Candidate]) -> NDArray[np.float64]:
    """Return the summed squared rounding error of ``values`` for each candidate, shape (candidates,)."""
    losses = np.zeros(len(candidates))
    # Zero is a code of every candidate, so it costs nothing; after a ReLU it is half of all values.
    values = values[values != 0]
    buffer = np.empty(min(_BLOCK, values.size), np.float32)
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        rounded = buffer[: block.size]
        for index, (low, high, scale) in enumerate(candidates):
            # Ranges whose squares leave float32 give no legal scale either.
            with np.errstate(over="ignore"):
                np.clip(block, low, high, out=rounded)
                np.divide(rounded, scale, out=rounded)
                np.rint(rounded, out=rounded)
                np.multiply(rounded, scale, out=rounded)
                np.subtract(rounded, block, out=rounded)
                np.multiply(rounded, rounded, out=rounded)
                losses[index] += float(rounded.sum())
    return losses
