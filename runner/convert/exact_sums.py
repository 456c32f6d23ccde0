"""How a layer's integer sums are computed exactly in float32: in one piece, or in parts over its input channels.

A float32 holds every integer below 2**24, so a sum whose every partial sum stays below it is exact in any order. The bound of
a part is the sum of its weights' magnitudes times the largest input code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import EXACT_FLOAT32_SUM, QMAX, QMIN
from runner.graph.layers import Layer
from runner.record import QuantizedLayer


@dataclass(frozen=True, slots=True)
class ExactSums:
    """How to sum a layer.

    Attributes:
        slices: over the input channels of one output channel; the sums of each part are exact in float32.
        plain: one part, and exact together with the bias; otherwise parts and bias are added in int32.
    """

    slices: tuple[slice, ...]
    plain: bool


def exact_sums(layer: Layer, quantized: QuantizedLayer) -> ExactSums:
    """Return how to sum a layer exactly.

    Args:
        layer: which axes of the weight are which.
        quantized: its integers and the zero point of its input.

    Raises:
        ValueError: no split keeps the sums exact: one input channel alone is too much, or a window to average.
    """
    zero_point = quantized.record.activation.zero_point
    rows = layer.layout.rows(np.abs(quantized.weight.astype(np.int64)))
    per_input = rows.reshape(rows.shape[0], rows.shape[1], -1).sum(axis=2) * max(QMAX - zero_point, zero_point - QMIN)
    whole = per_input.sum(axis=1)
    unweighted = layer.operator.unweighted
    if unweighted is not None:
        if np.any(whole >= unweighted.largest_sum):
            raise ValueError(f"its window of {rows.size} values is too large: sums could reach {int(whole.max())}")
        return ExactSums((slice(0, 1),), plain=True)
    bias = 0 if quantized.bias is None else np.abs(quantized.bias.astype(np.int64))
    if np.all(whole < EXACT_FLOAT32_SUM):
        return ExactSums((slice(0, per_input.shape[1]),), bool(np.all(whole + bias < EXACT_FLOAT32_SUM)))
    if np.any(per_input >= EXACT_FLOAT32_SUM):
        raise ValueError("its integer sums do not stay below 2**24, and no split over input channels makes them")
    slices, first, total = [], 0, np.zeros(rows.shape[0], np.int64)
    for channel in range(per_input.shape[1]):
        if np.any(total + per_input[:, channel] >= EXACT_FLOAT32_SUM):
            slices.append(slice(first, channel))
            first, total = channel, np.zeros(rows.shape[0], np.int64)
        total = total + per_input[:, channel]
    return ExactSums((*slices, slice(first, per_input.shape[1])), plain=False)


def part_weight(layer: Layer, weight: NDArray[np.int8], part: slice) -> NDArray[np.int8]:
    """Return the weight of one part of the sums, in the stored layout.

    Without groups it is the part's input channels alone, to be read from as many channels of the input. With groups the
    part's channels lie apart in the input, so the shape is kept and the weights of the other channels are 0.
    """
    rows = layer.layout.rows(weight)
    if layer.group != 1:
        kept = np.zeros_like(rows)
        kept[:, part] = rows[:, part]
        return layer.layout.stored(kept, weight.shape)
    return np.ascontiguousarray(np.take(weight, range(part.start, part.stop), axis=layer.layout.input_axis))
