"""The range of a tensor that costs the outputs of the layers that read it least: clip a little more, round the rest finer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import rounded
from runner.correction.parallel import each_of
from runner.ranges import ActivationParams, Range

# An end moves inwards by this share of where it was seen, two steps at a time, as long as one of them is better.
_STEP = 0.05
# Values that are rounded at once: few enough for a processor's cache, many enough for threads not to wait for Python.
_VALUES = 400_000


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """What errors of a tensor cost the layers that read it.

    Attributes:
        roots: of ``output_roots``.
        centred: whether mean errors cost nothing, because a bias makes up for them.
    """

    roots: NDArray[np.float32]
    centred: bool


def output_roots(weights: Sequence[NDArray[np.float64]], groups: int, inputs: int) -> NDArray[np.float32]:
    """Return, a group, R such that errors e of the input cost ``|e R|^2`` at all outputs, over their channels and places.

    So ``R R'`` holds the sums of w_c w_d over outputs and places. It has as many columns as there are of these, or as there
    are input channels where that is less.

    Args:
        weights: of the layers that read the input, shape (channels, input channels of a group * places) each.
        groups: of each layer.
        inputs: input channels of one group.

    Returns:
        Shape (groups, inputs, columns).
    """
    rows = [weight.reshape(groups, weight.shape[0] // groups, inputs, -1) for weight in weights]
    roots = np.concatenate([each.transpose(0, 2, 1, 3).reshape(groups, inputs, -1) for each in rows], axis=2)
    if roots.shape[2] > inputs:
        values, vectors = np.linalg.eigh(roots @ roots.transpose(0, 2, 1))
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, np.newaxis, :]
    return roots.astype(np.float32)


def best_range(
    seen: Range,
    chosen: Range,
    values: NDArray[np.float32],
    costs: Sequence[Cost],
    params: Callable[[Range], ActivationParams],
    *,
    callers: int = 1,
) -> ActivationParams:
    """Return the parameters whose rounding errors cost the outputs least.

    Tried are the observer's range, all that was seen, and what is left of that when its ends move inwards, one after the
    other.

    Args:
        seen: the extremes.
        chosen: the observer's range.
        values: of the tensor, shape (positions, channels).
        costs: of the layers that read it; their sum counts.
        params: from a range to parameters; raises a ValueError where it gives none, which the observer's range does not.
        callers: threads to work in.
    """
    # Each channel's values lie in a row of memory; so many channels stay in the processor's cache while they are rounded.
    columns = np.ascontiguousarray(values.T)
    at_once = max(1, _VALUES // len(values))
    blocks = [slice(first, first + at_once) for first in range(0, len(columns), at_once)]
    all_centred = all(each.centred for each in costs)

    def cost(range_: Range) -> float:
        try:
            candidate = params(range_)
        except ValueError:
            return math.inf  # an outlier that the observer left out gives no legal scale
        # Its errors may leave float32 too, and cost infinitely much then.
        with np.errstate(over="ignore", invalid="ignore"):
            return cost_of(candidate)

    def cost_of(candidate: ActivationParams) -> float:
        errors = np.empty_like(columns)
        for block in blocks:
            error = rounded(columns[block], candidate.scale, candidate.zero_point, out=errors[block])
            error -= columns[block]
            if all_centred:
                error -= error.mean(axis=1, keepdims=True)
        left = errors if all_centred else errors - errors.mean(axis=1, keepdims=True)
        return sum(_at_outputs(left if each.centred else errors, each.roots) for each in costs)

    def inwards(start: Range, least: float, end: str) -> tuple[Range, float]:
        best, whole = start, getattr(seen, end)
        share = getattr(start, end) / whole
        while share > _STEP:
            tried = [replace(start, **{end: whole * (share - step * _STEP)}) for step in (1, 2)]
            loss, range_ = min(zip(each_of(cost, tried, callers), tried, strict=True), key=lambda pair: pair[0])
            if loss >= least:
                break
            best, least, share = range_, loss, getattr(range_, end) / whole
        return best, least

    firsts = [seen] if chosen == seen else [seen, chosen]
    losses = each_of(cost, firsts, callers)
    best, least = seen, losses[0]
    if seen.high > 0:
        best, least = inwards(best, least, "high")
    if seen.low < 0:
        best, least = inwards(best, least, "low")
        if seen.high > 0:  # once more, now that the lower end is known
            best, least = inwards(best, least, "high")
    return params(chosen if losses[-1] < least or not math.isfinite(least) else best)


def _at_outputs(errors: NDArray[np.float32], roots: NDArray[np.float32]) -> float:
    """Return what errors of a tensor cost; shape (channels, positions)."""
    channel_a_group = roots.shape[1] == 1
    products = errors * roots[:, 0] if channel_a_group else errors.reshape(*roots.shape[:2], -1).swapaxes(1, 2) @ roots
    return float(np.sum(np.square(products, out=products), dtype=np.float64))
