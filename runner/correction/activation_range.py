"""The range of a layer's input that costs its output least: clip a little more, and round the rest more finely."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import dequantize, quantize
from runner.ranges import ActivationParams, Range

# Shares of the observed range's ends that are tried; IFMR's own search goes down to 0.7 too.
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


def output_moments(weight: NDArray[np.float64], groups: int, inputs: int) -> NDArray[np.float64]:
    """Return, a group, what an error of two input channels costs together: the sum of w_c w_d over outputs and places.

    Args:
        weight: shape (channels, input channels of a group * places).
        groups: of the layer.
        inputs: input channels of one group.

    Returns:
        Shape (groups, inputs, inputs).
    """
    rows = weight.reshape(groups, weight.shape[0] // groups, inputs, -1)
    return np.asarray(np.einsum("gock,godk->gcd", rows, rows))


def best_range(
    observed: Range,
    values: NDArray[np.float32],
    costs: NDArray[np.float64],
    params: Callable[[Range], ActivationParams],
    *,
    centred: bool,
) -> ActivationParams:
    """Return the parameters, among ranges inside the observed one, whose rounding errors cost the layer's output least.

    Args:
        observed: the observer's range.
        values: of the layer's input, shape (positions, channels).
        costs: of ``output_moments``.
        params: from a range to parameters.
        centred: whether mean errors cost nothing, because a bias makes up for them.
    """

    def cost(candidate: ActivationParams) -> float:
        error = dequantize(
            quantize(values, candidate.scale, candidate.zero_point), candidate.scale, candidate.zero_point
        )
        error -= values
        if centred:
            error -= error.mean(axis=0)
        grouped = error.reshape(len(error), costs.shape[0], -1).transpose(1, 2, 0)
        return float(np.sum((grouped @ grouped.transpose(0, 2, 1)) * costs))

    shares = (1.0, 1.0)
    best = params(observed)
    least = cost(best)
    # One end after the other, the upper again once the lower is known.
    for end, seen in ((1, observed.high), (0, observed.low), (1, observed.high)):
        if seen == 0 or (end == 0 and observed.low > 0) or (end == 1 and observed.high < 0):
            continue
        for share in _SHARES:
            other = (shares[0], share) if end else (share, shares[1])
            candidate = params(Range(other[0] * observed.low, other[1] * observed.high))
            if candidate != best and (loss := cost(candidate)) < least:
                shares, best, least = other, candidate, loss
    return best
