"""Percentile: the range is what was seen, less a share of the outermost values at each end.

Found in a histogram, less than one of its bins off (``histogram.py``), or exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runner.calibration.extremes import Extremes, ItemExtremes, check_percentile, kept_range
from runner.calibration.histogram import Histogram, HistogramStatistic
from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import TensorStatistic
from runner.ranges import Range


@dataclass(frozen=True, slots=True)
class Percentile:
    """The extremes after leaving out the share of values beyond a percentile, where IFMR's search begins.

    AMCT's default percentile, 0.999999, leaves out hardly anything; clipping is all that this observer does, so its own
    default leaves out one value in a hundred thousand at each end, as onnxruntime's does.

    Attributes:
        max_percentile, min_percentile: share of values kept at each end, in (0.5, 1].
        asymmetric: whether the range may lie unevenly around zero.
        exact: find the very values instead of looking into a histogram.
    """

    max_percentile: float = 0.99999
    min_percentile: float = 0.99999
    asymmetric: bool = True
    exact: bool = False
    # One more where exact, and items differ in size.
    passes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_percentile("max_percentile", self.max_percentile)
        check_percentile("min_percentile", self.min_percentile)

    def start(self, items: int) -> TensorStatistic:
        """Return an empty statistic."""
        if not self.exact:
            return HistogramStatistic(self.choose, items)
        return PercentileStatistic(Extremes(self.max_percentile, self.min_percentile, items))

    def choose(self, histogram: Histogram) -> Range:
        """Return the extremes that the percentiles keep."""
        return kept_range(histogram, self.max_percentile, self.min_percentile)

    def amct_params(self) -> dict[str, Any]:
        """AMCT has no such algorithm; IFMR over a search range of one candidate at ratio 1 is the same thing."""
        return Ifmr(
            self.max_percentile,
            self.min_percentile,
            search_range=[1.0, 1.5],
            search_step=0.5,
            asymmetric=self.asymmetric,
        ).amct_params()


class PercentileStatistic:
    """The extremes of one tensor."""

    def __init__(self, extremes: Extremes) -> None:
        self._extremes = extremes

    def reduce(self, x: NDArray[np.float32]) -> ItemExtremes:
        """Return one item's outermost values."""
        return self._extremes.reduce(x.reshape(-1))

    def merge(self, partial: ItemExtremes) -> None:
        """Add one item's reduction."""
        self._extremes.merge(partial)

    def end_pass(self) -> bool:
        """Return whether too few values were kept."""
        return self._extremes.end_pass()

    def result(self) -> Range:
        """Return the extremes that the percentiles keep."""
        low, high = self._extremes.bounds()
        return Range(float(low), float(high))
