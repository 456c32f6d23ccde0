"""Choose the integers of a weight such that the error of the layer's output is least, not that of each weight.

For one output channel with target weights ``t`` and codes ``q``, both in units of its scale, the output's squared error over
the calibration data is ``(q - t)' H (q - t)`` with H the second moments of what the weights multiply. Two steps lower it:

* compensated rounding (GPTQ, Frantar et al. 2022; OBQ in closed form): one weight after the other is rounded, and those not
  yet rounded move so as to make up for it. The order is that of falling ``H[j, j]``; the moves are the rows of the Cholesky
  factor of the inverse of H.
* coordinate descent: each code in turn goes where the error is least while the others stay, until none moves.

A channel whose compensated codes are no better than those rounded to nearest keeps the latter to start from, so that the
result is never worse than rounding to nearest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import QMAX, QMIN

Rows = NDArray[np.float64]

# Columns that are rounded before the rest is moved, in one product.
_BLOCK = 64
# Descent ends long before; this is a bound on time, not on quality.
_SWEEPS = 8


def nearest(target: Rows) -> Rows:
    """Return the codes nearest to ``target``."""
    return np.clip(np.rint(target), QMIN, QMAX)


def output_error(codes: Rows, target: Rows, moments: Rows) -> Rows:
    """Return each channel's ``(q - t)' H (q - t)``, shape (channels,).

    Args:
        codes: q, shape (channels, weights).
        target: t, of the same shape.
        moments: H, shape (weights, weights), symmetric.
    """
    difference = codes - target
    return np.asarray(np.sum((difference @ moments) * difference, axis=1))


def least_error(target: Rows, moments: Rows) -> Rows:
    """Return codes of low output error, integers in -128..127 of the shape of ``target``; H must be positive definite."""
    plain, other = nearest(target), compensated(target, moments)
    better = output_error(other, target, moments) < output_error(plain, target, moments)
    return descended(np.where(better[:, np.newaxis], other, plain), target, moments)


def compensated(target: Rows, moments: Rows) -> Rows:
    """Return codes rounded one after the other, those that follow making up for each error."""
    order = np.argsort(-np.diag(moments), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    moving, codes = target[:, order], np.empty_like(target)
    size = target.shape[1]
    for first in range(0, size, _BLOCK):
        last = min(first + _BLOCK, size)
        errors = np.empty((len(target), last - first))
        for j in range(first, last):
            codes[:, j] = nearest(moving[:, j])
            errors[:, j - first] = error = (moving[:, j] - codes[:, j]) / factor[j, j]
            moving[:, j + 1 : last] -= error[:, np.newaxis] * factor[j, j + 1 : last]
        moving[:, last:] -= errors @ factor[first:last, last:]
    back = np.empty_like(codes)
    back[:, order] = codes
    return back


def descended(codes: Rows, target: Rows, moments: Rows) -> Rows:
    """Return codes that no change of a single one makes better, found from ``codes`` by coordinate descent."""
    codes = codes.copy()
    diagonal = np.diag(moments)
    order = np.argsort(-diagonal, kind="stable")
    slope = (target - codes) @ moments
    for _ in range(_SWEEPS):
        moved = False
        for j in order:
            change = nearest(codes[:, j] + slope[:, j] / diagonal[j]) - codes[:, j]
            rows = np.flatnonzero(change)
            if rows.size:
                moved = True
                codes[rows, j] += change[rows]
                slope[rows] -= change[rows, np.newaxis] * moments[j]
        if not moved:
            break
    return codes
