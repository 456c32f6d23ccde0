"""ARQ, AMCT's weight quantization: the range of each output channel (or of the whole weight), symmetric around zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.ranges import symmetric_scale


def arq_scales(weight: NDArray[np.float32], axis: int, *, per_channel: bool) -> NDArray[np.float32]:
    """Return scales of shape (weight.shape[axis],) if ``per_channel``, else (1,).

    The divisor is 128 where the largest magnitude is negative and 127 where it is positive.
    """
    if not per_channel:
        return np.atleast_1d(symmetric_scale(weight.min(), weight.max()))
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return symmetric_scale(weight.min(axis=others), weight.max(axis=others))
