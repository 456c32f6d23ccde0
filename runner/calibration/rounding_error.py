"""What it costs to round a histogram's values to equally spaced levels, for any number of grids from a few sums.

Take the highest level for all values first: that costs ``sum (v - top)^2``. Then go down: of the values below an edge ``e``,
the middle between two levels a ``step`` apart, each gains ``2 step (e - v)`` by taking the lower one. So the squared error is

    sum (v - top)^2 - 2 step * sum over edges e of shortfall(e),    shortfall(e) = sum over v < e of (e - v)

and the shortfall, the integral of the counts below, is known at every bin's edge; inside a bin values are evenly spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class EvenlySpread:
    """Values evenly spread over bins; a bin without width holds a spike.

    Args:
        edges: ascending, shape (bins + 1,).
        counts: values in each bin, shape (bins,).
    """

    def __init__(self, edges: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        widths, middles = np.diff(edges), (edges[:-1] + edges[1:]) / 2
        self._edges = edges
        self._below = np.concatenate([[0.0], np.cumsum(counts)])
        self._shortfall = np.concatenate([[0.0], np.cumsum((self._below[:-1] + self._below[1:]) / 2 * widths)])
        # Nothing lies beyond the last edge.
        self._half_density = np.append(np.divide(counts, 2 * widths, out=np.zeros(counts.size), where=widths > 0), 0.0)
        # Not np.dot: its threads cost more than they save here.
        self._moments = (
            float(counts.sum()),
            float((counts * middles).sum()),
            float((counts * (middles**2 + widths**2 / 12)).sum()),
        )

    def losses(
        self,
        top: NDArray[np.float64],
        step: NDArray[np.float64],
        edges: NDArray[np.float64],
        bins: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the squared errors of rounding to several grids, shape (grids,).

        Args:
            top: each grid's highest level, shape (grids,).
            step: the distance of its levels, shape (grids,).
            edges: the middles between neighbouring levels, shape (grids, levels - 1).
            bins: the bins that they lie in, where that is known.
        """
        if bins is None:
            edges = np.maximum(edges, self._edges[0])  # below it there is no shortfall
            bins = np.searchsorted(self._edges, edges, side="right") - 1
        inside = edges - self._edges[bins]
        shortfall = self._half_density[bins]
        shortfall *= inside
        shortfall += self._below[bins]
        shortfall *= inside
        shortfall += self._shortfall[bins]
        count, first, second = self._moments
        losses: NDArray[np.float64] = second - 2 * top * first + top**2 * count - 2 * step * shortfall.sum(axis=1)
        return losses
