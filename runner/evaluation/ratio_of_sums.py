"""The studentized bootstrap of sums of errors in proportion to sums of weights.

B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 12: each resample's distance from the ratio is
counted in the resample's own standard errors, so that the limits follow errors that are skewed, as the percentile bootstrap's
do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.paired_shares import LEVEL

RESAMPLES = 1000
# Items drawn at once, over all resamples: a bound of the memory.
_AT_ONCE = 100_000
# Relative to an error; float64 sums of many items keep more.
_ROUNDING = 1e-9


class RatioOfSums:
    """Outputs' errors, summed over items, in proportion to their weights.

    Args:
        errors: never below 0, and above it for some item in each output, shape (items, outputs).
        weights: likewise.
    """

    def __init__(self, errors: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        # As shares of their sums: squares of either may leave float64.
        self._errors, self._weights = errors / errors.sum(axis=0), weights / weights.sum(axis=0)
        self.ratios: NDArray[np.float64] = errors.sum(axis=0) / weights.sum(axis=0)
        self._spread = _ratio_and_spread(self._errors, self._weights)[1]

    @property
    def tells_spread(self) -> bool:
        """Whether items differ in every output."""
        return bool(np.all(self._spread > 0))

    def limits(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and the upper limit of each output's ratio, and the ratios of the resamples.

        The upper limits hold with a probability of LEVEL each, which is enough for the largest of them; the lower ones
        together.
        """
        items, outputs = self._errors.shape
        shares, spreads = np.empty((2, RESAMPLES, outputs))
        with np.errstate(divide="ignore", invalid="ignore"):
            for start in range(0, RESAMPLES, step := max(1, _AT_ONCE // items)):
                picks = generator.integers(items, size=(min(step, RESAMPLES - start), items))
                rows = slice(start, start + step)
                shares[rows], spreads[rows] = _ratio_and_spread(self._errors[picks], self._weights[picks])
            # Of the ratio itself, which is 1 here. 0 / 0 where a resample is all alike, or has no weight at all.
            away = (shares - 1) / spreads
        # Of what a resample does not tell nothing is made: it speaks for a wider limit on either side.
        below = np.quantile(_filled(away, -np.inf), 1 - LEVEL, axis=0, method="lower")
        above = np.quantile(_filled(away, np.inf), 1 - (1 - LEVEL) / outputs, axis=0, method="higher")
        low, high = np.maximum(1 - above * self._spread, 0.0), 1 - below * self._spread
        return low * self.ratios, high * self.ratios, np.nan_to_num(shares, nan=0.0, posinf=0.0) * self.ratios


def _filled(numbers: NDArray[np.float64], unknown: float) -> NDArray[np.float64]:
    return np.asarray(np.where(np.isnan(numbers), unknown, numbers), np.float64)


def _ratio_and_spread(
    errors: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ratios of two sums over items and their linearized standard errors, shape (..., outputs) each.

    Args:
        errors: shape (..., items, outputs).
        weights: likewise.
    """
    totals = weights.sum(axis=-2)
    ratios = errors.sum(axis=-2) / totals
    residuals = errors - ratios[..., np.newaxis, :] * weights
    # What rounding leaves of items that are all alike is no spread.
    residuals[np.abs(residuals) <= _ROUNDING * errors] = 0.0
    return ratios, np.sqrt(np.sum(residuals**2, axis=-2)) / totals
