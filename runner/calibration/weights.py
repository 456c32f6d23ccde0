"""ARQ, AMCT's weight quantization: the range of each output channel (or of the whole weight), symmetric around zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import QMAX
from runner.ranges import symmetric_scale


def arq_scales(
    weight: NDArray[np.float32], axis: int, *, per_channel: bool, largest_code: int = QMAX
) -> NDArray[np.float32]:
    """Return scales of shape (weight.shape[axis],) if ``per_channel``, else (1,).

    The divisor is ``largest_code``, 127 where the target holds 8 bits, or one more where the largest magnitude is negative.
    """
    if not per_channel:
        return np.atleast_1d(symmetric_scale(weight.min(), weight.max(), largest_code))
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return symmetric_scale(weight.min(axis=others), weight.max(axis=others), largest_code)
