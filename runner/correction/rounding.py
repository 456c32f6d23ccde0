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
    """Return each channel's ``(q - t)' H (q - t)``, shape (..., channels).

    Args:
        codes: q, shape (..., channels, weights).
        target: t, of the same shape.
        moments: H, shape (..., weights, weights), symmetric.
    """
    difference = codes - target
    return np.asarray(np.sum((difference @ moments) * difference, axis=-1))


def least_error(target: Rows, moments: Rows, inverse: Rows) -> Rows:
    """Return codes of low output error, integers in -128..127 of the shape of ``target``.

    Args:
        target: t, shape (..., channels, weights), the leading axes those of problems that have nothing to do with each other.
        moments: H, shape (..., weights, weights), positive definite.
        inverse: of H.
    """
    order = np.argsort(-_diagonal(moments), axis=-1, kind="stable")
    target = _taken(target, order)
    moments, inverse = (_taken(_taken(square, order).swapaxes(-1, -2), order) for square in (moments, inverse))
    plain, other = nearest(target), compensated(target, inverse)
    better = output_error(other, target, moments) < output_error(plain, target, moments)
    return _taken(
        descended(np.where(better[..., np.newaxis], other, plain), target, moments), np.argsort(order, axis=-1)
    )


def compensated(target: Rows, inverse: Rows) -> Rows:
    """Return codes rounded one after the other, from the first on, those that follow making up for each error.

    Args:
        target: t, shape (..., channels, weights).
        inverse: of H, shape (..., weights, weights).
    """
    factor = np.linalg.cholesky(inverse).swapaxes(-1, -2)
    moving, codes = target.copy(), np.empty_like(target)
    size = target.shape[-1]
    for first in range(0, size, _BLOCK):
        last = min(first + _BLOCK, size)
        errors = np.empty((*target.shape[:-1], last - first))
        for j in range(first, last):
            codes[..., j] = nearest(moving[..., j])
            errors[..., j - first] = error = (moving[..., j] - codes[..., j]) / factor[..., j, j, np.newaxis]
            moving[..., j + 1 : last] -= error[..., np.newaxis] * factor[..., np.newaxis, j, j + 1 : last]
        moving[..., last:] -= errors @ factor[..., first:last, last:]
    return codes


def descended(codes: Rows, target: Rows, moments: Rows) -> Rows:
    """Return codes that no change of a single one makes better, found from ``codes`` by coordinate descent."""
    codes = codes.copy()
    diagonal = _diagonal(moments)[..., np.newaxis, :]
    slope = (target - codes) @ moments
    for _ in range(_SWEEPS):
        moved = False
        for j in range(codes.shape[-1]):
            change = nearest(codes[..., j] + slope[..., j] / diagonal[..., j]) - codes[..., j]
            where = np.nonzero(change)
            if where[0].size:
                moved = True
                codes[..., j] += change
                slope[where] -= change[where][:, np.newaxis] * moments[(*where[:-1], j)]
        if not moved:
            break
    return codes


def _diagonal(moments: Rows) -> Rows:
    return np.diagonal(moments, axis1=-2, axis2=-1)


def _taken(rows: Rows, order: NDArray[np.intp]) -> Rows:
    """Return the columns of ``rows`` in another order, each problem's own."""
    return np.take_along_axis(rows, order[..., np.newaxis, :], axis=-1)
