"""A layer's int8 weight and the DequantizeLinear behind it: one scale an output channel, or one in all.

A transposed convolution with groups has its output channels on no axis of its own: the weight is [Cin, Cout/group, k...], and
its axis 0 numbers input channels, each of one group. So one scale a group is a scale along axis 0, and in a depthwise one
that is a scale a channel. Where the output channels of a group have scales of their own the weight is kept with its output
channels first, and brought into place behind the DequantizeLinear.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.layers import Layer
from runner.record import QuantizedLayer

_FLOAT, _INT64 = ir.DataType.FLOAT, np.int64


def real_weight(build: Builder, layer: Layer, quantized: QuantizedLayer, prefix: str) -> ir.Value:
    """Return a layer's weight in float32, computed from its int8 initializer."""
    scales = np.asarray(quantized.record.weight_scales, np.float32)
    if layer.layout.scale_axis is not None:
        # One scale of a layer that takes one a channel is one a channel all the same.
        axis = layer.layout.scale_axis if layer.per_channel or scales.size > 1 else None
        factor = scales.reshape(()) if axis is None else np.broadcast_to(scales, (layer.channels,))
        return _dequantized(build, quantized.weight, factor, axis, prefix)
    by_group = np.broadcast_to(scales, (layer.channels,)).reshape(layer.group, -1)
    if (by_group == by_group[:, :1]).all():
        inputs = len(quantized.weight) // layer.group
        return _dequantized(build, quantized.weight, np.repeat(by_group[:, 0], inputs), 0, prefix)
    rows = layer.layout.rows(quantized.weight)
    real = _dequantized(build, np.ascontiguousarray(rows), by_group.reshape(-1), 0, prefix)
    return _as_stored(build, real, layer.group, quantized.weight.shape, prefix)


def _dequantized(
    build: Builder, weight: NDArray[np.int8], scales: NDArray[np.float32], axis: int | None, prefix: str
) -> ir.Value:
    inputs = [
        build.constant(f"{prefix}.weight", weight),
        build.constant(f"{prefix}.weight.scale", scales),
        # onnxruntime makes an integer kernel of a Gemm only where its weight's zero point is written down.
        build.constant(f"{prefix}.weight.zero_point", np.zeros(scales.shape, np.int8)),
    ]
    at = None if axis is None else {"axis": axis}
    return build.op("DequantizeLinear", inputs, f"{prefix}.weight.real", _FLOAT, at)


def _as_stored(build: Builder, rows: ir.Value, group: int, shape: tuple[int, ...], prefix: str) -> ir.Value:
    """Return a transposed convolution's weight [Cout, Cin/group, k...] as [Cin, Cout/group, k...]."""
    inputs, outputs, *kernel = shape
    split = build.constant(f"{prefix}.weight.split", np.array([group, outputs, inputs // group, *kernel], _INT64))
    apart = build.op("Reshape", [rows, split], f"{prefix}.weight.groups", _FLOAT)
    order = [0, 2, 1, *range(3, 3 + len(kernel))]
    turned = build.op("Transpose", [apart], f"{prefix}.weight.turned", _FLOAT, {"perm": order})
    joined = build.constant(f"{prefix}.weight.shape", np.array(shape, _INT64))
    return build.op("Reshape", [turned, joined], f"{prefix}.weight.stored", _FLOAT)
