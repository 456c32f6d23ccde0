"""How far one output is from the float model's, whatever shapes and values the two have.

Amounts are compared by their squares, labels by whether they are equal. Values that are equal are no error: infinities of one
sign, and NaN where the float model has NaN too. They carry no signal either, which has to be finite.

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
# Values at a time.
_BLOCK = 1 << 20


def squares(output: NDArray[Any], reference: NDArray[Any]) -> tuple[float, float, float]:
    """Return (signal, noise, number of values) of a quantized output q held against a float one f.

    Of amounts sum f^2 and sum (f - q)^2; of what counts by equality (see ``counts_by_equality``) the number of values and of
    those that differ. Signal and number of values depend on the float output alone.
    """
    return _squares(output, reference)[0]


def sqnr_of(output: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the SQNR of one output in dB; infinite where it equals the reference, minus infinity where it is unlike it."""
    (signal, noise, count), unlike = _squares(output, reference)
    return -math.inf if unlike else sqnr_db(PairSums(signal, 0.0, noise, int(count)))


def counts_by_equality(array: NDArray[Any]) -> bool:
    """Return whether values of an array are right or wrong, and never nearly right.

    Booleans and integers of 32 bits or more are labels, counts and places, whose differences mean nothing: class 10 is not
    nearly class 9. Integers of 8 and 16 bits may be pixels or codes, which are amounts.
    """
    return holds_labels(array.dtype)


def holds_labels(dtype: np.dtype[Any]) -> bool:
    """Return whether values of a type count by equality."""
    return dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize >= 4)


def is_unlike(output: NDArray[Any], reference: NDArray[Any]) -> bool:
    """Return whether two outputs cannot be held against each other value by value."""
    return _squares(output, reference)[1]


def _squares(output: NDArray[Any], reference: NDArray[Any]) -> tuple[tuple[float, float, float], bool]:
    if counts_by_equality(reference):
        return _differing(output, reference)
    if output.shape == reference.shape:
        ff, dd = _sums(output.reshape(-1), reference.reshape(-1))
        if math.isfinite(ff) and math.isfinite(dd):
            return (ff, dd, reference.size), False
    f, q = (np.asarray(array, np.float64).reshape(-1) for array in (reference, output))
    if output.shape != reference.shape:
        return _all_wrong(f, q), True
    if _part_somewhere(f, q):
        return _all_wrong(f, q), True
    finite = np.isfinite(f)
    return (_energy(f), _energy(f[finite] - q[finite]), f.size), False


def _sums(q: NDArray[Any], f: NDArray[Any]) -> tuple[float, float]:
    """Return sum f^2 and sum (f - q)^2 in float64, a block at a time: outputs may be large, and copies of them are."""
    ff = dd = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, f.size, _BLOCK):
            block = np.asarray(f[start : start + _BLOCK], np.float64)
            d = block - q[start : start + _BLOCK]
            ff, dd = ff + _dot(block), dd + _dot(d)
    return ff, dd


def _differing(output: NDArray[Any], reference: NDArray[Any]) -> tuple[tuple[float, float, float], bool]:
    size = float(reference.size)
    if output.shape != reference.shape:
        return (size, float(max(reference.size, output.size, 1)), size), True
    return (size, float(np.count_nonzero(output != reference)), size), False


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
        return min(_dot(finite), _MOST)


def _dot(values: NDArray[np.float64]) -> float:
    """Return the sum of squares: not by BLAS, whose threads add in an order of their own, and wait for each other."""
    return float(np.einsum("i,i", values, values))
