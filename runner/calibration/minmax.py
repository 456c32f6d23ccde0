"""Min-max: the range is what was seen. One pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runner.ranges import Range


@dataclass(frozen=True, slots=True)
class MinMax:
    """The smallest and the largest value over all items.

    Attributes:
        asymmetric: whether the range may lie unevenly around zero.
    """

    asymmetric: bool = True
    passes: ClassVar[int] = 1

    def start(self, items: int) -> MinMaxStatistic:
        """Return an empty statistic."""
        return MinMaxStatistic()

    def amct_params(self) -> dict[str, Any]:
        """AMCT has no min-max; IFMR over a search range of one candidate at ratio 1 is the same thing."""
        return {
            "num_bits": 8,
            "max_percentile": 1.0,
            "min_percentile": 1.0,
            "search_range": [1.0, 1.5],
            "search_step": 0.5,
            "act_algo": "ifmr",
            "asymmetric": self.asymmetric,
        }


class MinMaxStatistic:
    """Running minimum and maximum."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf

    def reduce(self, x: NDArray[np.float32]) -> tuple[float, float]:
        """Return (min, max) of one item."""
        return float(x.min()), float(x.max())

    def merge(self, partial: tuple[float, float]) -> None:
        """Widen the range by one item's."""
        self.low, self.high = min(self.low, partial[0]), max(self.high, partial[1])

    def end_pass(self) -> bool:
        """One pass is enough."""
        return False

    def result(self) -> Range:
        """Return what was seen."""
        return Range(self.low, self.high)
