"""How far one output is from the float model's, whatever shapes and values the two have.

Values that are equal are no error: infinities of one sign, and NaN where the float model has NaN too. They carry no signal
either, which has to be finite.

An output that has another shape than the float model's (a detector that keeps fewer boxes), or whose infinities or NaN lie
elsewhere, cannot be held against it value by value. It is *unlike*, and counts as if none of it were right: its error is all
the energy of the larger of the two, so that the item's SQNR is 0 dB at best; where neither has any energy, 1 for every value of
the larger one. It agrees with nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.similarity import PairSums, sqnr_db

# Sums of squares of doubles may leave what a double holds; so they stay addable over items.
_MOST = 1e250


def squares(output: NDArray[Any], reference: NDArray[Any]) -> tuple[float, float, float]:
    """Return (sum f^2, sum (f - q)^2, number of values) of a float output f and a quantized one q.

    The first and the last depend on the float output alone.
    """
    return _squares(output, reference)[0]


def sqnr_of(output: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the SQNR of one output in dB; infinite where it equals the reference, minus infinity where it is unlike it."""
    (ff, dd, count), unlike = _squares(output, reference)
    return -math.inf if unlike else sqnr_db(PairSums(ff, 0.0, dd, int(count)))


def agreement_db(output: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return how far two outputs agree, in dB.

    Of amounts it is the SQNR. Booleans and integers of 32 bits or more are labels, counts and places, whose differences mean
    nothing (class 10 is not nearly class 9): of them it is ``10 log10(values / values that differ)``, so that 20 dB stand for
    the same share of the whole, one in a hundred.
    """
    if not _names_things(reference):
        return sqnr_of(output, reference)
    if output.shape != reference.shape:
        return -math.inf
    wrong = int(np.count_nonzero(output != reference))
    return math.inf if wrong == 0 else 10.0 * math.log10(reference.size / wrong)


def is_unlike(output: NDArray[Any], reference: NDArray[Any]) -> bool:
    """Return whether two outputs cannot be held against each other value by value."""
    return _squares(output, reference)[1]


def _squares(output: NDArray[Any], reference: NDArray[Any]) -> tuple[tuple[float, float, float], bool]:
    f, q = (np.asarray(array, np.float64).reshape(-1) for array in (reference, output))
    if output.shape != reference.shape:
        return _all_wrong(f, q), True
    with np.errstate(invalid="ignore", over="ignore"):
        d = f - q
        ff, dd = float(f @ f), float(d @ d)
    if math.isfinite(ff) and math.isfinite(dd):
        return (ff, dd, f.size), False
    if _part_somewhere(f, q):
        return _all_wrong(f, q), True
    finite = np.isfinite(f)
    return (_energy(f), _energy(f[finite] - q[finite]), f.size), False


def _names_things(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "b" or (array.dtype.kind in "iu" and array.dtype.itemsize >= 4)


def _part_somewhere(f: NDArray[np.float64], q: NDArray[np.float64]) -> bool:
    """Return whether one of them is not finite where the other is something else."""
    same = (f == q) | (np.isnan(f) & np.isnan(q))
    return bool(np.any(~same & ~(np.isfinite(f) & np.isfinite(q))))


def _all_wrong(f: NDArray[np.float64], q: NDArray[np.float64]) -> tuple[float, float, float]:
    ff, qq = _energy(f), _energy(q)
    return ff, max(ff, qq) or float(max(f.size, q.size, 1)), f.size


def _energy(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        return min(float(finite @ finite), _MOST)
