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


def least_error_scale(values: NDArray[np.float64], also: tuple[float, ...] = ()) -> np.float32:
    """Return the scale of least squared error for weights of any shape; 1 where all are 0.

    Args:
        values: the real weights.
        also: scales to try beside the grid, such as the source's own.
    """
    # A quantized source has few distinct weights, so that a whole tensor costs little more than a channel.
    distinct, counts = np.unique(values, return_counts=True)
    widest = max(float(distinct[-1]) / QMAX, float(distinct[0]) / QMIN)
    if widest <= 0:
        return np.float32(1)
    candidates = np.concatenate([widest * _SHRINKS, also]).astype(np.float32)
    candidates = candidates[candidates > 0]
    errors = [_squared_error(distinct, counts, float(scale)) for scale in candidates]
    return np.float32(candidates[int(np.argmin(errors))])


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
    cheapest = np.argsort(np.where(movable, excess * step, np.inf), kind="stable")[: min(turns, int(movable.sum()))]
    codes[cheapest] += step
    return codes.astype(np.int8)


def _squared_error(distinct: NDArray[np.float64], counts: NDArray[np.int64], scale: float) -> float:
    rounded = np.clip(np.rint(distinct / scale), QMIN, QMAX) * scale
    return float(np.dot(counts, (rounded - distinct) ** 2))
