"""A source's weight integers -> symmetric int8 with positive scales, exact wherever a record can say them.

A record has no zero point for weights. Where the integers ``q - zero_point`` of a channel all lie in -128..127 under one
scale, they are int8 already and stay as they are; the others are rounded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON, QMAX, QMIN
from runner.convert.qdq.annotated_graph import QuantizedConstant
from runner.convert.qdq.layers.rounding import balanced_codes, least_error_scale
from runner.convert.qdq.report import ChannelError, WeightOutcome
from runner.graph.layers import Layer
from runner.wording import say


class StaysFloatError(Exception):
    """A layer cannot be taken over; the message says why. It ends in the report, never before the user."""


@dataclass(frozen=True, slots=True, eq=False)
class SymmetricWeight:
    """Integers and scales that a record can hold.

    Attributes:
        rows: the codes, output channels first.
        scales: shape (1,) or (channels,). A channel of scale 0, whose weights are all 0, has FLT_EPSILON.
        real: the source's weights, a row an output channel.
        outcome: how they came about.
    """

    rows: NDArray[np.int8]
    scales: NDArray[np.float32]
    real: NDArray[np.float64]
    outcome: WeightOutcome


def symmetric_weight(source: QuantizedConstant, layer: Layer, *, refuse_asymmetric: bool) -> SymmetricWeight:
    """Return the source's weight as symmetric int8, its output channels first.

    Raises:
        StaysFloatError: a scale is not finite, or channels do not fit and ``refuse_asymmetric`` is set.
    """

    def rows(array: NDArray[Any]) -> NDArray[Any]:
        return layer.layout.rows(array)

    stored = rows(source.integers)
    integers = stored.reshape(stored.shape[0], -1)
    scales = rows(source.scales).reshape(integers.shape)
    if not np.all(np.isfinite(scales)):
        raise StaysFloatError(say("a scale of its weight is not finite"))
    integers = np.where(scales > 0, integers, 0)
    real = np.asarray(integers * scales.astype(np.float64), np.float64)
    fits = np.all((integers >= QMIN) & (integers <= QMAX), axis=1)
    if source.off_grid is not None:
        off_grid = rows(source.off_grid).reshape(integers.shape)
        real = np.where(off_grid, rows(source.real).reshape(integers.shape), real)
        fits &= ~np.any(off_grid, axis=1)
    if refuse_asymmetric and not np.all(fits):
        raise StaysFloatError(_unfit(source, fits))
    one_scale = np.all(scales == scales[:, :1], axis=1)
    if layer.per_channel:
        codes, new_scales = _per_channel(integers, scales, real, keep=fits & one_scale)
        if source.granularity == "per tensor" and np.all(fits & one_scale) and np.all(new_scales == new_scales[0]):
            new_scales = new_scales[:1]
    else:
        keep = bool(np.all(fits) and np.all(scales == scales.flat[0]))
        codes, new_scales = _per_tensor(integers, scales, real, keep=keep)
    errors = np.max(np.abs(codes * np.asarray(new_scales, np.float64).reshape(-1, 1) - real), axis=1, initial=0.0)
    outcome = _outcome(source, layer, errors, np.broadcast_to(new_scales, errors.shape))
    new_scales = np.where(new_scales > 0, new_scales, np.float32(FLT_EPSILON)).astype(np.float32)
    return SymmetricWeight(codes.reshape(stored.shape), new_scales, real, outcome)


def _unfit(source: QuantizedConstant, fits: NDArray[np.bool_]) -> str:
    if source.off_grid is not None:
        return say(
            "its weight is computed from dequantized values, and {count} of {total} channels lie off their integers; "
            "on_asymmetric_weight=refuse",
            count=np.sum(~fits),
            total=fits.size,
        )
    lowest, highest = source.zero_points
    return say(
        "its weight is asymmetric (zero point {zero_point}): the integers of {count} of {total} channels do not fit int8 "
        "without it, and on_asymmetric_weight=refuse",
        zero_point=str(lowest) if lowest == highest else f"{lowest}..{highest}",
        count=np.sum(~fits),
        total=fits.size,
    )


def _per_channel(
    integers: NDArray[np.int64], scales: NDArray[np.float32], real: NDArray[np.float64], *, keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return rows of int8 codes and a scale for each; rows that are not kept are rounded again."""
    codes, new_scales = np.zeros(integers.shape, np.int8), scales[:, 0].copy()
    codes[keep] = integers[keep]
    for channel in np.flatnonzero(~keep):
        new_scales[channel] = least_error_scale(real[channel], also=(float(scales[channel, 0]),))
        codes[channel] = balanced_codes(real[channel], float(new_scales[channel]))
    return codes, new_scales


def _per_tensor(
    integers: NDArray[np.int64], scales: NDArray[np.float32], real: NDArray[np.float64], *, keep: bool
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return rows of int8 codes and one scale for all; the whole tensor is rounded again unless it is kept."""
    if keep:
        return integers.astype(np.int8), scales.ravel()[:1].copy()
    scale = least_error_scale(real, also=(float(scales.max()),))
    codes = [balanced_codes(row, float(scale)) for row in real]
    return np.stack(codes), np.asarray([scale], np.float32)


def _outcome(
    source: QuantizedConstant, layer: Layer, errors: NDArray[np.float64], scales: NDArray[np.float32]
) -> WeightOutcome:
    changed = [int(channel) for channel in np.flatnonzero(errors > 0)]
    return WeightOutcome(
        dtype=source.dtype,
        granularity=source.granularity,
        axis=source.axis,
        channel_axis=layer.layout.channel_axis,
        zero_point_min=source.zero_points[0],
        zero_point_max=source.zero_points[1],
        channels=errors.size,
        channels_exact=errors.size - len(changed),
        max_error=float(errors.max(initial=0.0)),
        inexact=tuple(ChannelError(channel, float(scales[channel]), float(errors[channel])) for channel in changed),
    )
