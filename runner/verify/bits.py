"""Whether two outputs have the same bits, and how far apart they are where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def same_bits(a: Any, b: Any) -> bool:  # noqa: ANN401 - whatever an output may be
    """Return whether two arrays have the same type, shape and bits; a NaN equals itself, 0 is not -0.

    Of lists of arrays each has to be the same, of strings each text.
    """
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if not is_numbers(a) or not is_numbers(b):
        return type(a) is type(b) and np.array_equal(a, b)
    return bool(a.dtype == b.dtype and a.shape == b.shape and np.array_equal(_bits(a), _bits(b)))


def is_numbers(output: Any) -> bool:  # noqa: ANN401
    """Return whether an output is an array of numbers, and no list of arrays, no strings, and there at all."""
    return isinstance(output, np.ndarray) and output.dtype.kind in "fiub"


def difference_in_words(a: Any, b: Any) -> str:  # noqa: ANN401
    """Return how two outputs differ, in words."""
    if not is_numbers(a) or not is_numbers(b):
        return "strings or tensors of a list differ"
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype} {list(a.shape)} against {b.dtype} {list(b.shape)}"
    count = int(np.sum(_bits(a) != _bits(b)))
    return f"{count} of {a.size} values differ, by at most {distance(a, b):.6g}"


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array).view(np.dtype(f"u{array.dtype.itemsize}"))


def distance(a: Any, b: Any) -> float:  # noqa: ANN401
    """Return the largest difference between two arrays; infinite where they cannot be held against each other."""
    if not is_numbers(a) or not is_numbers(b):
        return 0.0 if same_bits(a, b) else float("inf")
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))
