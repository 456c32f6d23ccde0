"""How a layer's integer sums are computed exactly in float32: in one piece, or in parts over its input channels.

A float32 holds every integer below 2**24, so a sum whose every partial sum stays below it is exact in any order. The bound of
a part is the sum of its weights' magnitudes times the largest input code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runner.arithmetic import EXACT_FLOAT32_SUM, QMAX, QMIN
from runner.graph.layers import Layer
from runner.record import QuantizedLayer


@dataclass(frozen=True, slots=True)
class ExactSums:
    """How to sum a layer.

    Attributes:
        slices: over the input channels; the sums of each part are exact in float32.
        plain: one part, and exact together with the bias; otherwise parts and bias are added in int32.
    """

    slices: tuple[slice, ...]
    plain: bool


def exact_sums(layer: Layer, group: int, quantized: QuantizedLayer) -> ExactSums:
    """Return how to sum a layer exactly.

    Args:
        layer: which axes of the weight are which.
        group: of a convolution; 1 elsewhere.
        quantized: its integers and the zero point of its input.

    Raises:
        ValueError: no split keeps the sums exact: one input channel is too much, or the convolution is grouped.
    """
    zero_point = quantized.record.activation.zero_point
    rows = np.moveaxis(np.abs(quantized.weight.astype(np.int64)), layer.channel_axis, 0)
    # Conv [out, in, k...]; Gemm and MatMul [in, out]: after the move the input channels are axis 1.
    per_input = rows.reshape(rows.shape[0], rows.shape[1], -1).sum(axis=2) * max(QMAX - zero_point, zero_point - QMIN)
    whole = per_input.sum(axis=1)
    bias = 0 if quantized.bias is None else np.abs(quantized.bias.astype(np.int64))
    if np.all(whole < EXACT_FLOAT32_SUM):
        return ExactSums((slice(0, per_input.shape[1]),), bool(np.all(whole + bias < EXACT_FLOAT32_SUM)))
    if group != 1 or np.any(per_input >= EXACT_FLOAT32_SUM):
        raise ValueError("its integer sums do not stay below 2**24, and no split over input channels makes them")
    slices, first, total = [], 0, np.zeros(layer.channels, np.int64)
    for channel in range(per_input.shape[1]):
        if np.any(total + per_input[:, channel] >= EXACT_FLOAT32_SUM):
            slices.append(slice(first, channel))
            first, total = channel, np.zeros(layer.channels, np.int64)
        total = total + per_input[:, channel]
    return ExactSums((*slices, slice(first, per_input.shape[1])), plain=False)


def input_axis(layer: Layer) -> int:
    """Return the axis of the input channels in a layer's weight."""
    return 1 if layer.op_type == "Conv" else 0
