"""How far two tensors are apart, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.similarity import PairSums, cosine, sqnr_db

# Elements that are widened to float64 at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """Between an expected tensor and another of its shape.

    Attributes:
        max_abs: the largest difference of two values; None where a value of one is no finite number and not the other's.
        cosine: of the angle between them, -1..1; None where a value is not finite.
        sqnr_db: ``10 log10(sum f^2 / sum (f-q)^2)``; None where a value is not finite, or nothing differs.
        equal: share of values that are equal, NaN like NaN; 1 of no values.
    """

    max_abs: float | None
    cosine: float | None
    sqnr_db: float | None
    equal: float


def difference(expected: NDArray[Any], got: NDArray[Any]) -> Difference:
    """Return how far ``got`` is from ``expected``, which has the same shape."""
    equal, count, largest, sums = 0, 0, 0.0, PairSums(0.0, 0.0, 0.0, 0)
    finite = True
    for f, q in _blocks(expected, got):
        same = (f == q) | (np.isnan(f) & np.isnan(q))
        equal, count = equal + int(same.sum()), count + f.size
        finite &= bool(np.isfinite(f).all() and np.isfinite(q).all())
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.where(same, 0.0, f - q)
            largest = max(largest, float(np.max(np.abs(apart), initial=0.0))) if np.isfinite(apart).all() else np.inf
            sums = _added(sums, f, q, apart)
    share = equal / count if count else 1.0
    if not finite or not np.isfinite([sums.ff, sums.qq, sums.dd]).all():
        return Difference(largest if np.isfinite(largest) else None, None, None, share)
    ratio = None if sums.dd == 0.0 else sqnr_db(sums)
    return Difference(largest, plain_cosine(sums), ratio, share)


def plain_cosine(sums: PairSums) -> float:
    """Return the cosine of the angle between two tensors, -1..1; 1 where both are all zero."""
    return 2.0 * cosine(sums) - 1.0 if sums.ff > 0.0 or sums.qq > 0.0 else 1.0


def _added(sums: PairSums, f: NDArray[Any], q: NDArray[Any], apart: NDArray[Any]) -> PairSums:
    return PairSums(
        sums.ff + float(np.dot(f, f)), sums.qq + float(np.dot(q, q)), sums.dd + float(np.dot(apart, apart)), 0
    )


def _blocks(expected: NDArray[Any], got: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    first, second = expected.reshape(-1), got.reshape(-1)
    for at in range(0, first.size, _BLOCK):
        yield first[at : at + _BLOCK].astype(np.float64), second[at : at + _BLOCK].astype(np.float64)
