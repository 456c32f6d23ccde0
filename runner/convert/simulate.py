"""The nodes that simulate one quantized layer in standard ONNX operators, bit for bit as the device computes it.

    x -> Mul(r) -> Add(offset_d) -> QuantizeLinear(scale 1, zero 0) -> DequantizeLinear(scale 1, zero offset_d)
      -> the layer, on float tensors that hold the integers q_w and q_b
      -> Cast(int32) -> DequantizeLinear(deq, axis = output channel)

* Mul then Add then round is AscendQuant's own order; QuantizeLinear's (round, then add) differs at ties.
* A float sum of integers is exact in any order while every partial sum stays below 2**24, so no kernel, layout or thread
  count can change a bit. A layer that could exceed it is split over its input channels and the parts are added in int32.
* The dequantizing scale is always a vector: onnxruntime pushes a DequantizeLinear with a scalar scale through Reshape,
  Transpose and MaxPool by re-quantizing to 8 bits behind them, which destroys an int32 value (seen with 1.32). A layer of
  one channel, whose vector would count as a scalar, multiplies instead; the bits are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import EXACT_FLOAT32_SUM, QMAX, QMIN, dequant_scale, reciprocal
from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute
from runner.graph.layers import Layer
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer


@dataclass(slots=True)
class Simulator:
    """Builds simulation nodes; layers that read one tensor with equal parameters share its rounding.

    Attributes:
        multiply: dequantize by ``Mul(deq)`` alone, without the cast to int32. The same bits where onnxruntime's
            ConvMulFusion is off, and faster; for the runner's own sessions, never for a file.
    """

    multiply: bool = False
    _rounded: dict[tuple[str, ActivationParams], ir.Value] = field(default_factory=dict)

    def activation(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``q - offset_d`` as float, for ``x`` of any shape."""
        key = (x.name or "", params)
        if key not in self._rounded:
            self._rounded[key] = self._round(build, x, params, prefix)
        return self._rounded[key]

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``x`` rounded to int8 and back: AscendQuant followed by AscendAntiQuant."""
        codes = self.activation(build, x, params, f"{prefix}.quant")
        scale = build.constant(f"{prefix}.anti_quant.scale", np.asarray(params.scale, np.float32))
        return build.op("Mul", [codes, scale], f"{prefix}.anti_quant", ir.DataType.FLOAT)

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        """Return the float output of ``node`` with its input ``x`` and its weights in int8."""
        record = quantized.record
        codes = self.activation(build, x, record.activation, f"{prefix}.quant")
        deq = dequant_scale(record.activation.scale, np.asarray(record.weight_scales, np.float32))
        parts = split_inputs(layer, integer_attribute(node, "group", 1), quantized)
        if len(parts) == 1:
            total = _integer_layer(build, node, codes, quantized.weight, quantized.bias, layer, prefix)
            if self.multiply:
                return _scaled(build, total, deq, layer, prefix)
            total = build.cast(total, ir.DataType.INT32, f"{prefix}.dequant.cast")
        else:
            total = _split_layer(build, node, codes, quantized, layer, prefix, parts)
        if layer.channels == 1:
            return _scaled(build, build.cast(total, ir.DataType.FLOAT, f"{prefix}.dequant.float"), deq, layer, prefix)
        vector = np.broadcast_to(deq, (layer.channels,))
        scale = build.constant(f"{prefix}.dequant.scale", vector)
        axis = {"axis": layer.output_axis}
        return build.op("DequantizeLinear", [total, scale], f"{prefix}.dequant", ir.DataType.FLOAT, axis)

    def _round(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        r = build.constant(f"{prefix}.scale", np.asarray(reciprocal(params.scale), np.float32))
        offset = build.constant(f"{prefix}.offset", np.asarray(params.zero_point, np.float32))
        one = build.constant(f"{prefix}.one", np.asarray(1.0, np.float32))
        zero = build.constant(f"{prefix}.zero", np.asarray(0, np.int8))
        zero_point = build.constant(f"{prefix}.zero_point", np.asarray(params.zero_point, np.int8))
        scaled = build.op("Mul", [x, r], f"{prefix}.mul", ir.DataType.FLOAT)
        shifted = build.op("Add", [scaled, offset], f"{prefix}.add", ir.DataType.FLOAT)
        codes = build.op("QuantizeLinear", [shifted, one, zero], f"{prefix}.round", ir.DataType.INT8)
        return build.op("DequantizeLinear", [codes, one, zero_point], f"{prefix}.codes", ir.DataType.FLOAT)


def split_inputs(layer: Layer, group: int, quantized: QuantizedLayer) -> list[slice]:
    """Return slices over the input channels, such that each part's sums stay exact in float32; one slice mostly.

    The bias belongs to the first part.

    Raises:
        ValueError: no split keeps the sums exact (one input channel is too much, or the convolution is grouped).
    """
    weight, zero_point = quantized.weight, quantized.record.activation.zero_point
    rows = np.moveaxis(np.abs(weight.astype(np.int64)), layer.channel_axis, 0)
    # Conv [out, in, k...]; Gemm and MatMul [in, out]: after the move the input channels are axis 1.
    per_input = rows.reshape(rows.shape[0], rows.shape[1], -1).sum(axis=2) * max(QMAX - zero_point, zero_point - QMIN)
    start_sum = (
        np.zeros(layer.channels, np.int64) if quantized.bias is None else np.abs(quantized.bias.astype(np.int64))
    )
    if np.all(start_sum + per_input.sum(axis=1) < EXACT_FLOAT32_SUM):
        return [slice(0, per_input.shape[1])]
    if group != 1 or np.any(per_input >= EXACT_FLOAT32_SUM) or np.any(start_sum >= EXACT_FLOAT32_SUM):
        raise ValueError("its integer sums do not stay below 2**24, and no split over input channels makes them")
    slices, first, total = [], 0, start_sum
    for channel in range(per_input.shape[1]):
        if np.any(total + per_input[:, channel] >= EXACT_FLOAT32_SUM):
            slices.append(slice(first, channel))
            first, total = channel, np.zeros(layer.channels, np.int64)
        total = total + per_input[:, channel]
    return [*slices, slice(first, per_input.shape[1])]


def _split_layer(
    build: Builder,
    node: ir.Node,
    codes: ir.Value,
    quantized: QuantizedLayer,
    layer: Layer,
    prefix: str,
    parts: list[slice],
) -> ir.Value:
    input_axis = 1 if layer.op_type == "Conv" else -1
    weight_axis = 1 if layer.op_type == "Conv" else 0
    total: ir.Value | None = None
    for index, part in enumerate(parts):
        name = f"{prefix}.part{index}"
        bounds = [
            build.constant(f"{name}.{key}", np.asarray([number], np.int64))
            for key, number in (("start", part.start), ("end", part.stop), ("axis", input_axis))
        ]
        x = build.op("Slice", [codes, *bounds], f"{name}.slice", ir.DataType.FLOAT)
        weight = np.take(quantized.weight, range(part.start, part.stop), axis=weight_axis)
        y = _integer_layer(build, node, x, weight, quantized.bias if index == 0 else None, layer, name)
        y = build.cast(y, ir.DataType.INT32, f"{name}.cast")
        total = y if total is None else build.op("Add", [total, y], f"{name}.sum", ir.DataType.INT32)
    assert total is not None  # parts is never empty
    return total


def _integer_layer(
    build: Builder,
    node: ir.Node,
    x: ir.Value,
    weight: NDArray[np.int8],
    bias: NDArray[np.int32] | None,
    layer: Layer,
    prefix: str,
) -> ir.Value:
    inputs = [x, build.constant(f"{prefix}.weight", weight.astype(np.float32))]
    if bias is not None:
        inputs.append(build.constant(f"{prefix}.bias", bias.astype(np.float32)))
    return build.like(node, inputs, prefix, ir.DataType.FLOAT)


def _scaled(build: Builder, total: ir.Value, deq: NDArray[np.float32], layer: Layer, prefix: str) -> ir.Value:
    # [C, 1, 1] broadcasts over [N, C, H, W]; for Gemm and MatMul the channels are last and [C] does.
    shape = (-1, 1, 1) if layer.op_type == "Conv" and deq.size > 1 else (-1,) if deq.size > 1 else ()
    scale = build.constant(f"{prefix}.dequant.scale", deq.reshape(shape))
    return build.op("Mul", [total, scale], f"{prefix}.dequant", ir.DataType.FLOAT)
