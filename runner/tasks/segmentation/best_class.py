"""The class of the highest score at every place of a map, a few rows at a time, as no outputs are larger than such scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.outputs import NO_ANSWER

# Scores that are compared at a time, so that they stay in the processor's cache.
_BLOCK = 180_000


def best_class(scores: NDArray[Any]) -> NDArray[np.int32]:
    """Return the class of the highest score of each place, the first among equals, shape (height, width).

    A score that is NaN is no one's highest; ``NO_ANSWER`` where all are.

    Args:
        scores: shape (classes, height, width), in any order in memory.
    """
    classes, height, width = scores.shape
    best = np.empty((height, width), np.int32)
    step = max(1, _BLOCK // max(classes * width, 1))
    for start in range(0, height, step):
        rows = slice(start, start + step)
        best[rows] = _of_block(np.ascontiguousarray(scores[:, rows]))
    return best


def _of_block(scores: NDArray[Any]) -> NDArray[np.int32]:
    if scores.dtype == np.float16:  # which numpy compares one by one
        scores = scores.astype(np.float32)
    with np.errstate(invalid="ignore"):
        highest = scores.max(axis=0)
        if scores.dtype.kind == "f" and np.isnan(highest).any():
            highest = np.fmax.reduce(scores, axis=0)
    best = np.full(highest.shape, NO_ANSWER, np.int32)
    # Backwards: the first among equals is written last.
    for number in range(len(scores) - 1, -1, -1):
        np.copyto(best, number, where=scores[number] == highest)
    return best
