"""GPTQ: choose the integers of a weight such that the error of the layer's output is least, not that of each weight.

For one output channel with target weights ``t`` and codes ``q``, both in units of its scale, the output's squared error over
the calibration data is ``(q - t)' H (q - t)`` with H the second moments of what the weights multiply. Two steps lower it:

* compensated rounding (Frantar et al. 2022; OBQ in closed form): one weight after the other is rounded, and those not
  yet rounded move so as to make up for it. The order is that of falling ``H[j, j]``; the moves are the rows of the Cholesky
  factor of the inverse of H.
* coordinate descent: each code in turn goes where the error is least while the others stay, until none moves.

A channel whose compensated codes are no better than those rounded to nearest keeps the latter to start from, so that the
result is never worse than rounding to nearest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import QMAX
from runner.correction.parallel import each_of

# One or a stack of them: shape (..., rows, columns).
Matrices = NDArray[np.float64]

# Columns that are rounded before the rest is moved, in one product.
_BLOCK = 64
# Channels that are looked at together: they have nothing to do with each other, but numpy is called once a weight of them all.
CHANNELS = 256
# Descent ends long before; this is a bound on time, not on quality.
_SWEEPS = 8


def nearest(target: Matrices, largest_code: int = QMAX) -> Matrices:
    """Return the codes nearest to ``target``."""
    return np.clip(np.rint(target), -largest_code - 1, largest_code)


def output_error(codes: Matrices, target: Matrices, moments: Matrices) -> Matrices:
    """Return each channel's ``(q - t)' H (q - t)``, shape (..., channels).

    Args:
        codes: q, shape (..., channels, weights).
        target: t, of the same shape.
        moments: H, shape (..., weights, weights), symmetric.
    """
    difference = codes - target
    return np.asarray(np.sum((difference @ moments) * difference, axis=-1))


def least_error(
    target: Matrices, moments: Matrices, inverse: Matrices, callers: int = 1, largest_code: int = QMAX
) -> Matrices:
    """Return codes of low output error, integers of the shape of ``target``.

    Args:
        target: t, shape (..., channels, weights), the leading axes those of problems that have nothing to do with each other.
        moments: H, shape (..., weights, weights), positive definite.
        inverse: of H.
        callers: threads to work in.
        largest_code: codes lie between its negative less 1 and it.
    """
    problem = Problem.of(moments, inverse)
    blocks = [slice(first, first + CHANNELS) for first in range(0, target.shape[-2], CHANNELS)]
    found = each_of(lambda channels: problem.codes(target[..., channels, :], largest_code), blocks, callers)
    return np.concatenate(found, axis=-2)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What is the same for all channels: the weights in the order in which they are rounded.

    Attributes:
        order: of the weights, shape (..., weights).
        moments: H in that order.
        factor: of its inverse.
    """

    order: NDArray[np.intp]
    moments: Matrices
    factor: Matrices

    @classmethod
    def of(cls, moments: Matrices, inverse: Matrices) -> Problem:
        """Return the problem of H and its inverse."""
        order = np.argsort(-_diagonal(moments), axis=-1, kind="stable")
        return cls(order, _reordered(moments, order), upper_factor(_reordered(inverse, order)))

    def codes(self, target: Matrices, largest_code: int = QMAX) -> Matrices:
        """Return codes of low output error of some channels; see ``least_error``."""
        wanted = _taken(target, self.order)
        plain, other = nearest(wanted, largest_code), compensated(wanted, self.factor, largest_code)
        better = output_error(other, wanted, self.moments) < output_error(plain, wanted, self.moments)
        found = descended(np.where(better[..., np.newaxis], other, plain), wanted, self.moments, largest_code)
        return _taken(found, np.argsort(self.order, axis=-1))


def upper_factor(inverse: Matrices) -> Matrices:
    """Return the upper triangle U of ``inverse = U' U``."""
    return np.asarray(np.linalg.cholesky(inverse).swapaxes(-1, -2))


def compensated(target: Matrices, factor: Matrices, largest_code: int = QMAX) -> Matrices:
    """Return codes rounded one after the other, from the first on, those that follow making up for each error.

    Args:
        target: t, shape (..., channels, weights).
        factor: of the inverse of H, shape (..., weights, weights).
        largest_code: see ``least_error``.
    """
    # One weight of all channels lies in a row of memory.
    moving = target.swapaxes(-1, -2).copy()
    codes = np.empty_like(moving)
    size = moving.shape[-2]
    for first in range(0, size, _BLOCK):
        last = min(first + _BLOCK, size)
        errors = np.empty((*moving.shape[:-2], last - first, moving.shape[-1]))
        for j in range(first, last):
            weight, code, error = moving[..., j, :], codes[..., j, :], errors[..., j - first, :]
            np.rint(weight, out=code)
            np.clip(code, -largest_code - 1, largest_code, out=code)
            np.subtract(weight, code, out=error)
            error /= factor[..., j, j, np.newaxis]
            moving[..., j + 1 : last, :] -= factor[..., j, j + 1 : last, np.newaxis] * error[..., np.newaxis, :]
        moving[..., last:, :] -= factor[..., first:last, last:].swapaxes(-1, -2) @ errors
    return codes.swapaxes(-1, -2)


def descended(codes: Matrices, target: Matrices, moments: Matrices, largest_code: int = QMAX) -> Matrices:
    """Return codes that no change of a single one makes better, found from ``codes`` by coordinate descent.

    Channels have nothing to do with each other, and few codes move: so each channel goes straight to the next of its codes
    that does.
    """
    size = codes.shape[-1]
    slope = ((target - codes) @ moments).reshape(-1, size)
    shape, codes = codes.shape, codes.reshape(-1, size).copy()
    moments = moments.reshape(-1, size, size)
    diagonal = _diagonal(moments)
    problem = np.arange(len(codes)) // (len(codes) // len(moments))
    channels = np.arange(len(codes))
    for _ in range(_SWEEPS):
        sweeping, behind = channels, np.full(len(channels), -1)
        for step in itertools.count():
            here = codes[sweeping]
            change = nearest(here + slope[sweeping] / diagonal[problem[sweeping]], largest_code) - here
            place = np.argmax((change != 0) & (np.arange(size) > behind[:, np.newaxis]), axis=1)
            by = np.take_along_axis(change, place[:, np.newaxis], axis=1)[:, 0]
            moves = (by != 0) & (place > behind)
            if not moves.any():
                break
            sweeping, behind, by = sweeping[moves], place[moves], by[moves]
            codes[sweeping, behind] += by
            slope[sweeping] -= by[:, np.newaxis] * moments[problem[sweeping], behind]
            if step == 0:
                channels = sweeping
        if step == 0:
            break
    return codes.reshape(shape)


def _diagonal(moments: Matrices) -> Matrices:
    return np.diagonal(moments, axis1=-2, axis2=-1)


def _taken(rows: Matrices, order: NDArray[np.intp]) -> Matrices:
    """Return the columns of ``rows`` in another order, each problem's own."""
    return np.take_along_axis(rows, order[..., np.newaxis, :], axis=-1)


def _reordered(square: Matrices, order: NDArray[np.intp]) -> Matrices:
    """Return the rows and columns of each problem's ``square`` in another order."""
    size = order.shape[-1]
    rows, columns = order.reshape(-1, size, 1), order.reshape(-1, 1, size)
    problems = np.arange(len(rows)).reshape(-1, 1, 1)
    return square.reshape(-1, size, size)[problems, rows, columns].reshape(square.shape)
