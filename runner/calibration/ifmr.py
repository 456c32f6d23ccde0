"""IFMR, AMCT's activation range: the clipping that rounds the seen values with the least squared error. Exact, in two passes.

First pass: the extremes, after leaving out the share beyond a percentile. Second pass: for each of the candidate ratios
(61 for 0.7 .. 1.3 in steps of 0.01) the squared error of rounding every value; the first minimum wins.

    asymmetric: only the maximum is searched, c = ratio * max, s = (c - min) / 255, clip to [min, c]
    symmetric:  c = ratio * max(|min|, |max|), s = c / (128 or 127), clip to [-c, c]
    loss = sum (round(clip(x) / s) * s - x)^2

Where items differ in size and the first pass turns out to have kept too few extremes, one more pass keeps enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON, QMAX, QMIN
from runner.errors import ConfigError
from runner.ranges import NUM_STEPS, Range

# Values handled at a time: the buffers stay in a core's cache.
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True)
class Ifmr:
    """Options of IFMR, AMCT's names and defaults.

    Attributes:
        max_percentile, min_percentile: share of values kept at each end, in (0.5, 1].
        search_range: smallest and largest ratio tried.
        search_step: distance between ratios.
        asymmetric: whether the range may lie unevenly around zero.
    """

    max_percentile: float = 0.999999
    min_percentile: float = 0.999999
    search_range: list[float] = field(default_factory=lambda: [0.7, 1.3])
    search_step: float = 0.01
    asymmetric: bool = True
    passes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for key in ("max_percentile", "min_percentile"):
            if not 0.5 < getattr(self, key) <= 1.0:
                raise ConfigError(f"observer.{key}: expected a share in (0.5, 1], got {getattr(self, key)}.")
        if len(self.search_range) != 2 or not 0 < self.search_range[0] < self.search_range[1]:
            raise ConfigError(
                f"observer.search_range: expected [start, end] with 0 < start < end, got {self.search_range}."
            )
        if not 0 < self.search_step <= round(self.search_range[1] - self.search_range[0], 9):
            raise ConfigError(
                f"observer.search_step: expected more than 0 and at most end - start, got {self.search_step}."
            )

    def ratios(self) -> NDArray[np.float32]:
        """Return the candidate ratios: 61 for the defaults, because (1.3 - 0.7) / 0.01 rounds up past 60."""
        return np.arange(self.search_range[0], self.search_range[1], self.search_step).astype(np.float32)

    def start(self, items: int) -> IfmrStatistic:
        """Return an empty statistic."""
        return IfmrStatistic(self, items)

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


@dataclass(frozen=True, slots=True, eq=False)
class _Extremes:
    """Of one item: the number of values, and the largest and smallest ones in ascending order."""

    count: int
    top: NDArray[np.float32]
    bottom: NDArray[np.float32]


class IfmrStatistic:
    """First the extremes of a tensor, then the loss of each candidate."""

    def __init__(self, options: Ifmr, items: int) -> None:
        self._options = options
        self._items = items
        self._count = 0
        self._total = 0
        self._kept: int | None = None
        self._top = np.empty(0, np.float32)
        self._bottom = np.empty(0, np.float32)
        self._bounds: tuple[np.float32, np.float32] | None = None
        self._candidates: list[tuple[np.float32, np.float32, np.float32]] = []
        self._losses = np.zeros(0)

    def reduce(self, x: NDArray[np.float32]) -> _Extremes | NDArray[np.float64]:
        """Return one item's extremes (first pass) or candidate losses (second), float64 of shape (candidates,)."""
        values = x.reshape(-1)
        if self._bounds is not None:
            return _losses(values, self._candidates)
        keep = min(values.size, self._keep(values.size))
        if keep == 1:
            return _Extremes(values.size, values.max(keepdims=True), values.min(keepdims=True))
        top = np.sort(np.partition(values, values.size - keep)[values.size - keep :])
        bottom = np.sort(np.partition(values, keep - 1)[:keep])
        return _Extremes(values.size, top, bottom)

    def merge(self, partial: _Extremes | NDArray[np.float64]) -> None:
        """Add one item's reduction."""
        if not isinstance(partial, _Extremes):
            self._losses += partial
            return
        self._count += partial.count
        limit = max(self._keep(partial.count), self._top.size)
        top, bottom = np.concatenate([self._top, partial.top]), np.concatenate([self._bottom, partial.bottom])
        if partial.top.size < partial.count or top.size > limit:
            # From here on only the outermost `kept` values are known for certain.
            kept = min(partial.top.size if partial.top.size < partial.count else limit, limit)
            self._kept = kept if self._kept is None else min(self._kept, kept)
        self._top, self._bottom = np.sort(top)[-limit:], np.sort(bottom)[:limit]

    def end_pass(self) -> bool:
        """Return True after the extremes, False after the losses."""
        if self._bounds is not None:
            return False
        k_max = _rank(self._count, self._options.max_percentile)
        k_min = _rank(self._count, self._options.min_percentile)
        if self._kept is not None and max(k_max, k_min) > self._kept:
            self._total, self._count, self._kept = self._count, 0, None
            self._top = self._bottom = np.empty(0, np.float32)
            return True
        high = max(np.float32(0), self._top[-k_max])
        low = min(np.float32(0), self._bottom[k_min - 1])
        self._bounds = (np.float32(low), np.float32(high))
        self._candidates = _candidates(self._bounds, self._options)
        self._losses = np.zeros(len(self._candidates))
        return len(self._candidates) > 1

    def result(self) -> Range:
        """Return the candidate range of least loss, the first among equals."""
        assert self._bounds is not None  # end_pass was called
        low, high, scale = self._candidates[int(np.argmin(self._losses))]
        if not self._options.asymmetric and self._bounds[1] < -self._bounds[0]:
            # Divided by 128: the last code stands one step short of -low, and so the scale is found again.
            high = np.float32(QMAX) * scale
        return Range(float(low), float(high))

    def _keep(self, size: int) -> int:
        """How many extremes of an item of ``size`` values may be needed, if every item is as large as this one."""
        total = self._total or size * self._items
        return max(_rank(total, self._options.max_percentile), _rank(total, self._options.min_percentile)) + 1


def _rank(count: int, percentile: float) -> int:
    """Return k such that the k-th largest of ``count`` values is the extreme that the percentile keeps."""
    if 1.0 - percentile < FLT_EPSILON:
        return 1
    return max(1, count - int(percentile * count))


def _candidates(
    bounds: tuple[np.float32, np.float32], options: Ifmr
) -> list[tuple[np.float32, np.float32, np.float32]]:
    """Return (low, high, scale) of each ratio, in order."""
    low, high = bounds
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


def _losses(
    values: NDArray[np.float32], candidates: list[tuple[np.float32, np.float32, np.float32]]
) -> NDArray[np.float64]:
    """Return the summed squared rounding error of ``values`` for each candidate, shape (candidates,)."""
    losses = np.zeros(len(candidates))
    # Zero is a code of every candidate, so it costs nothing; after a ReLU it is half of all values.
    values = values[values != 0]
    buffer = np.empty(min(_BLOCK, values.size), np.float32)
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        rounded = buffer[: block.size]
        for index, (low, high, scale) in enumerate(candidates):
            np.clip(block, low, high, out=rounded)
            np.divide(rounded, scale, out=rounded)
            np.rint(rounded, out=rounded)
            np.multiply(rounded, scale, out=rounded)
            np.subtract(rounded, block, out=rounded)
            np.multiply(rounded, rounded, out=rounded)
            losses[index] += float(rounded.sum())
    return losses
