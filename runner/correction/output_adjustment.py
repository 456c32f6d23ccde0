"""A layer whose output is multiplied by a factor a channel and shifted: what that makes of its integers, and of its outputs.

Both go into the integer bias and the weight scales. The bias of a MatMul is the constant of the float Add behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import dequant_scale, quantize_bias
from runner.calibration.quantize import int32_bias
from runner.correction.parallel import each_of
from runner.correction.shrinkage import PerChannel
from runner.graph.layers import Layer
from runner.record import QuantizedLayer


def adjusted(
    layer: Layer, quantized: QuantizedLayer, shift: PerChannel, factor: PerChannel | None = None
) -> QuantizedLayer:
    """Return the layer whose output is ``factor * y + shift``.

    Args:
        layer: what it is.
        quantized: its form.
        shift: real, shape (channels,).
        factor: likewise; None for 1, as of a layer whose channels share a weight scale.

    Raises:
        ValueError: a scale or a bias would be illegal.
    """
    if layer.bias_behind:
        return replace(quantized, shift=shift.astype(np.float32))
    old = dequant_scales(layer, quantized).astype(np.float64)
    real = 0.0 if quantized.bias is None else quantized.bias * old
    if factor is not None:
        scales = np.asarray(quantized.record.weight_scales, np.float32)
        scales = (np.broadcast_to(scales, (layer.channels,)) * factor).astype(np.float32)
        quantized = replace(quantized, record=replace(quantized.record, weight_scales=tuple(map(float, scales))))
        real = factor * real
    return replace(quantized, bias=int32_bias(quantize_bias(real + shift, dequant_scales(layer, quantized))))


def adjusted_outputs(
    outputs: Sequence[NDArray[np.float32]],
    layer: Layer,
    before: QuantizedLayer,
    after: QuantizedLayer,
    callers: int = 1,
) -> list[NDArray[np.float32]]:
    """Return what a layer gives with another bias and weight scale, from what it gave: its sums are integers.

    The bias of a MatMul is added in float: there, what the layer gives but for one rounding, outputs being rounded already.

    Args:
        outputs: what it gave, an entry an item; modified in place.
        layer: what it is.
        before: its form that gave them.
        after: its form with another bias and weight scale.
        callers: threads to work in.
    """
    if after.shift is not None:
        shift = after.shift
        return each_of(lambda y: np.add(y, shift, out=y), outputs, callers)
    axes = [1] * layer.spatial
    old, new = (
        np.zeros(layer.channels) if form.bias is None else form.bias.astype(np.float64) for form in (before, after)
    )
    gained = (new - old).astype(np.float32).reshape(-1, *axes)
    old_deq, new_deq = (dequant_scales(layer, form).reshape(-1, *axes) for form in (before, after))

    def again(y: NDArray[np.float32]) -> NDArray[np.float32]:
        y /= old_deq
        np.rint(y, out=y)
        y += gained
        y *= new_deq
        return y

    return each_of(again, outputs, callers)


def dequant_scales(layer: Layer, quantized: QuantizedLayer) -> NDArray[np.float32]:
    """Return what each channel's sums are multiplied by, shape (channels,)."""
    record = quantized.record
    return np.broadcast_to(dequant_scale(record.activation.scale, np.asarray(record.weight_scales)), (layer.channels,))
