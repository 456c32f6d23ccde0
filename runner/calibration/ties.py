"""Keep input values off the rounding ties.

Pixels normalized to -1 .. 1 and a range of -1 .. 1 put every single pixel exactly between two codes (255 steps for 256
values around a zero that is no pixel): each is then off by half a step, and the smallest difference in a chip's arithmetic
rounds it the other way. Widening the range by a fraction of a step spreads the errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import reciprocal
from runner.ranges import ActivationParams, Range, activation_params

# A tie is a scaled value this close to half a code; chance alone puts 2 % of values there.
_TIE_WIDTH = 0.01
_TOO_MANY = 0.2
_WIDEN = 1.0 + 1.0 / 256.0
_TRIES = 4


def tie_share(sample: NDArray[np.float32], params: ActivationParams) -> float:
    """Return the share of nonzero sample values, shape (n,), that lie on a rounding tie."""
    values = sample[sample != 0]
    if values.size == 0:
        return 0.0
    # What clipping cut off may leave float32, and lies on no tie.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * reciprocal(params.scale) + np.float32(params.zero_point)
        return float(np.mean(np.abs(np.abs(scaled - np.rint(scaled)) - 0.5) < _TIE_WIDTH))


def params_off_ties(range_: Range, sample: NDArray[np.float32], *, symmetric: bool) -> ActivationParams:
    """Return the parameters of ``range_``, widened step by step while a large share of ``sample`` lies on ties.

    Raises:
        ValueError: the range gives no legal scale.
    """
    params = activation_params(range_, symmetric=symmetric)
    for step in range(1, _TRIES + 1):
        if tie_share(sample, params) <= _TOO_MANY:
            return params
        factor = _WIDEN**step
        params = activation_params(Range(range_.low * factor, range_.high * factor), symmetric=symmetric)
    return params
