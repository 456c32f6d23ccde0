"""A few numbers that stand for the bits of an item's outputs, so that they can be kept where the outputs cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A row of scores holds floats; a whole number of 32 bits is one exactly.
OutputDigest = tuple[float, float, float]


def output_digest(outputs: Iterable[NDArray[Any]]) -> OutputDigest:
    """Return 96 bits of the sha256 of arrays of numbers: of their types, shapes and bits, in order."""
    digest = hashlib.sha256()
    for array in outputs:
        digest.update(f"{array.dtype.str}{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    first, second, third = np.frombuffer(digest.digest()[:12], "<u4").tolist()
    return float(first), float(second), float(third)
