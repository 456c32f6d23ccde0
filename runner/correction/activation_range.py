"""The range of a layer's input that costs its output least: clip a little more, and round the rest more finely."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import dequantize, quantize
from runner.correction.parallel import each_of
from runner.ranges import ActivationParams, Range

# Shares of the observed range's ends that are tried; IFMR's own search goes down to 0.7 too.
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


def output_roots(weight: NDArray[np.float64], groups: int, inputs: int) -> NDArray[np.float32]:
    """Return, a group, R such that errors e of the input cost ``|e R|^2`` at the output, over its channels and places.

    So ``R R'`` holds the sums of w_c w_d over outputs and places. It has as many columns as there are of these, or as there
    are input channels where that is less.

    Args:
        weight: shape (channels, input channels of a group * places).
        groups: of the layer.
        inputs: input channels of one group.

    Returns:
        Shape (groups, inputs, columns).
    """
    rows = weight.reshape(groups, weight.shape[0] // groups, inputs, -1)
    roots = rows.transpose(0, 2, 1, 3).reshape(groups, inputs, -1)
    if roots.shape[2] > inputs:
        values, vectors = np.linalg.eigh(roots @ roots.transpose(0, 2, 1))
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, np.newaxis, :]
    return roots.astype(np.float32)


def best_range(
    observed: Range,
    values: NDArray[np.float32],
    roots: NDArray[np.float32],
    params: Callable[[Range], ActivationParams],
    *,
    centred: bool,
    callers: int = 1,
) -> ActivationParams:
    """Return the parameters, among ranges inside the observed one, whose rounding errors cost the layer's output least.

    Args:
        observed: the observer's range.
        values: of the layer's input, shape (positions, channels).
        roots: of ``output_roots``.
        params: from a range to parameters.
        centred: whether mean errors cost nothing, because a bias makes up for them.
        callers: threads to work in.
    """

    def cost(candidate: ActivationParams) -> float:
        error = dequantize(
            quantize(values, candidate.scale, candidate.zero_point), candidate.scale, candidate.zero_point
        )
        error -= values
        if centred:
            error -= error.mean(axis=0)
        at_output = error.reshape(len(error), len(roots), -1).transpose(1, 0, 2) @ roots
        return float(np.sum(np.square(at_output, out=at_output), dtype=np.float64))

    shares = (1.0, 1.0)
    best = params(observed)
    least = cost(best)
    # One end after the other, the upper again once the lower is known.
    for end, seen in ((1, observed.high), (0, observed.low), (1, observed.high)):
        if seen == 0 or (end == 0 and observed.low > 0) or (end == 1 and observed.high < 0):
            continue
        tried = [(shares[0], share) if end else (share, shares[1]) for share in _SHARES]
        candidates = [params(Range(low * observed.low, high * observed.high)) for low, high in tried]
        for pair, candidate, loss in zip(tried, candidates, each_of(cost, candidates, callers), strict=True):
            if loss < least:
                shares, best, least = pair, candidate, loss
    return best
