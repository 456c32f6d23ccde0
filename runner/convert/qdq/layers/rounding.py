"""Symmetric int8 integers for weights whose own integers do not fit, with the least harm to the layer's output.

Of each output channel's weights ``w``, rounded to ``scale * q``, the output sees two errors: the squared rounding errors,
which add up like noise, and their plain sum, which the mean of the input multiplies. Without data, this file

1. searches the scale that leaves the least squared error, clipping included: clipping one far weight often beats a
   coarser grid for all the others;
2. rounds to nearest, then turns the cheapest roundings (those nearest to a half) the other way, until the channel's
   errors sum to as near 0 as whole steps allow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import QMAX, QMIN

# From half of the scale that clips nothing up to it.
_SHRINKS = np.linspace(0.5, 1.0, 401)
_MANY = 1 << 14
_CODES = np.arange(QMIN, QMAX + 1, dtype=np.float64)
_BETWEEN = _CODES[:-1] + 0.5


def least_error_scale(values: NDArray[np.float64], also: tuple[float, ...] = ()) -> np.float32:
    """Return the scale of least squared error for weights of any shape; 1 where all are 0.

    Args:
        values: the real weights.
        also: scales to try beside the grid, such as the source's own.
    """
    # Sorted, and each once: a quantized source has few distinct weights, unless each channel has a scale of its own.
    distinct, counts = np.unique(values, return_counts=True)
    widest = max(float(distinct[-1]) / QMAX, float(distinct[0]) / QMIN)
    if widest <= 0:
        return np.float32(1)
    candidates = np.concatenate([widest * _SHRINKS, also]).astype(np.float32)
    candidates = candidates[candidates > 0]
    return np.float32(candidates[int(np.argmin(_squared_errors(distinct, counts, candidates.astype(np.float64))))])


def balanced_codes(values: NDArray[np.float64], scale: float) -> NDArray[np.int8]:
    """Return int8 codes of one output channel's weights, shape (n,), whose rounding errors nearly cancel.

    The number of roundings turned is the sum of the errors in steps, so at most half a step of it remains, unless too
    many weights are clipped to make up for.
    """
    real = values / scale
    codes = np.clip(np.rint(real), QMIN, QMAX)
    excess = codes - real
    turns = int(np.rint(abs(excess.sum())))
    step = -float(np.sign(excess.sum()))
    # Turning a rounding of error e costs 1 - 2|e| squared steps; only errors of the sum's own sign are worth it.
    movable = (excess * step <= 0) & (np.abs(codes + step - (QMAX + QMIN) / 2) <= (QMAX - QMIN) / 2)
    cheapest = _smallest(np.where(movable, excess * step, np.inf), min(turns, int(movable.sum())))
    codes[cheapest] += step
    return codes.astype(np.int8)


def _smallest(keys: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the places of the ``count`` smallest keys, the first among equals; in no order."""
    if count == 0:
        return np.zeros(0, np.intp)
    last = np.partition(keys, count - 1)[count - 1]
    below, equal = np.flatnonzero(keys < last), np.flatnonzero(keys == last)
    return np.concatenate([below, equal[: count - below.size]])


def _squared_errors(
    distinct: NDArray[np.float64], counts: NDArray[np.int64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared error of weights rounded to each scale, summed code by code, not weight by weight.

    Weights that get the same code lie side by side once they are sorted; what they leave is
    ``sum w^2 - 2 scale q sum w + (scale q)^2 n``, and running sums give each of the three for any stretch of them.

    Args:
        distinct: the weights, ascending.
        counts: how many there are of each.
        scales: to round to.

    Returns:
        the errors, in units of the largest weight squared.
    """
    # Of weights around 1, so that their squares neither vanish nor overflow.
    unit = float(np.max(np.abs(distinct)))
    small = distinct / unit
    moments = [counts.astype(np.float64), counts * small, counts * small**2]
    sums = np.stack([np.concatenate([[0.0], np.cumsum(moment)]) for moment in moments])
    borders = np.multiply.outer(scales, _BETWEEN)
    # In ascending order each is looked for close to the one before, which pays where there are many weights.
    order = np.argsort(borders, axis=None) if distinct.size > _MANY else slice(None)
    ends = np.empty(borders.size, np.intp)
    ends[order] = np.searchsorted(distinct, borders.ravel()[order])
    places = np.pad(ends.reshape(borders.shape), ((0, 0), (1, 1)), constant_values=((0, 0), (0, distinct.size)))
    number, first, second = np.diff(sums[:, places], axis=2)
    points = np.multiply.outer(scales / unit, _CODES)
    return np.asarray(np.sum(second - 2 * points * first + points**2 * number, axis=1), np.float64)
