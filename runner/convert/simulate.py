"""The nodes that simulate one quantized layer in standard ONNX operators, bit for bit as the deploy graph says it.

    x -> Mul(r) -> Add(offset_d) -> QuantizeLinear(scale 1, zero 0) -> DequantizeLinear(scale 1, zero offset_d)
      -> the layer, on float tensors that hold the integers q_w and q_b
      -> Cast(int32) -> DequantizeLinear(deq, axis = output channel)

* A balanced layer has ``x -> Mul(1 / f)`` before all of it, the same node as in the deploy file.
* Mul then Add then round is AscendQuant's own order; QuantizeLinear's (round, then add) differs at ties.
* A float sum of integers is exact in any order while every partial sum stays below 2**24, so no kernel, layout or thread
  count can change a bit. A layer that could exceed it is split over its input channels; parts and bias are added in int32.
* The dequantizing scale is always a vector: onnxruntime pushes a DequantizeLinear with a scalar scale through Reshape,
  Transpose and MaxPool by re-quantizing to 8 bits behind them, which destroys an int32 value (seen with 1.32). A layer of
  one channel, whose vector would count as a scalar, multiplies instead; the bits are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import dequant_scale, reciprocal
from runner.convert.exact_sums import ExactSums, exact_sums, part_weight
from runner.convert.integer_sums import TO_UINT8, has_integer_kernel, integer_sums
from runner.graph.builder import Builder
from runner.graph.layers import Layer
from runner.graph.smoothing import divided
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer


@dataclass(slots=True)
class Simulator:
    """Builds simulation nodes; layers that read one tensor with equal parameters share its rounding.

    Attributes:
        multiply: dequantize by ``Mul(deq)`` alone, without the cast to int32, and sum with integer operators where they
            are exact on this machine. The same bits where onnxruntime's ConvMulFusion is off, and faster; for the
            runner's own sessions, never for a file.
        roundings: the first node of each rounding so far, and what it rounds to.
        dequantized: the last node of each layer so far.
    """

    multiply: bool = False
    roundings: dict[ir.Node, ActivationParams] = field(default_factory=dict)
    dequantized: set[ir.Node] = field(default_factory=set)
    _codes: dict[tuple[str, ActivationParams, bool], ir.Value] = field(default_factory=dict)
    _whole: dict[tuple[str, ActivationParams], ir.Value] = field(default_factory=dict)

    def activation(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``q - offset_d`` as float, for ``x`` of any shape."""
        key = (x.name or "", params)
        if key not in self._whole:
            codes = self.codes(build, x, params, prefix)
            rounding = codes.producer()
            assert rounding is not None  # made above
            one = rounding.inputs[1]
            zero_point = build.constant(f"{prefix}.zero_point", np.asarray(params.zero_point, np.int8))
            self._whole[key] = build.op(
                "DequantizeLinear", [codes, one, zero_point], f"{prefix}.codes", ir.DataType.FLOAT
            )
        return self._whole[key]

    def codes(
        self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str, *, unsigned: bool = False
    ) -> ir.Value:
        """Return ``q`` as int8, or ``q + 128`` as uint8: ``round(x * r + offset_d)``, saturated."""
        key = (x.name or "", params, unsigned)
        if key not in self._codes:
            self._codes[key], first = _round(build, x, params, prefix, unsigned=unsigned)
            self.roundings[first] = params
        return self._codes[key]

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``x`` rounded to int8 and back: AscendQuant followed by AscendAntiQuant."""
        codes = self.activation(build, x, params, f"{prefix}.quant")
        scale = build.constant(f"{prefix}.anti_quant.scale", np.asarray(params.scale, np.float32))
        return build.op("Mul", [codes, scale], f"{prefix}.anti_quant", ir.DataType.FLOAT)

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        """Return the float output of ``node`` with its input ``x`` and its weights in int8."""
        output = self._layer(build, node, layer, quantized, prefix, x)
        last = output.producer()
        assert last is not None  # made above
        self.dequantized.add(last)
        return output

    def _layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        record = quantized.record
        x = divided(build, x, record.balance_factors, layer, prefix)
        deq = dequant_scale(record.activation.scale, np.asarray(record.weight_scales, np.float32))
        if self.multiply and has_integer_kernel(layer):
            whole = self.codes(build, x, record.activation, f"{prefix}.quant", unsigned=not layer.spatial)
            total = integer_sums(build, node, layer, quantized, whole, prefix)
            if layer.spatial:
                return _dequantized(build, total, deq, layer, prefix)
            # DequantizeLinear is slow along the last axis.
            return _scaled(build, build.cast(total, ir.DataType.FLOAT, f"{prefix}.sum"), deq, layer, prefix)
        codes = self.activation(build, x, record.activation, f"{prefix}.quant")
        unweighted = layer.operator.unweighted
        if unweighted is not None:
            return _scaled(build, unweighted.mean(build, node, codes, prefix), deq, layer, prefix)
        sums = exact_sums(layer, quantized)
        if sums.plain:
            total = _integer_layer(build, node, codes, quantized.weight, quantized.bias, prefix)
            if self.multiply:
                return _scaled(build, total, deq, layer, prefix)
            total = build.cast(total, ir.DataType.INT32, f"{prefix}.dequant.cast")
        else:
            total = _summed_parts(build, node, codes, quantized, layer, prefix, sums)
        return _dequantized(build, total, deq, layer, prefix)


def _round(
    build: Builder, x: ir.Value, params: ActivationParams, prefix: str, *, unsigned: bool
) -> tuple[ir.Value, ir.Node]:
    """Return the codes, and the first node on the way to them."""
    dtype = ir.DataType.UINT8 if unsigned else ir.DataType.INT8
    r = build.constant(f"{prefix}.scale", np.asarray(reciprocal(params.scale), np.float32))
    offset = build.constant(f"{prefix}.offset", np.asarray(params.zero_point, np.float32))
    one = build.constant(f"{prefix}.one", np.asarray(1.0, np.float32))
    zero = build.constant(f"{prefix}.zero", np.asarray(TO_UINT8 if unsigned else 0, dtype.numpy()))
    scaled = build.op("Mul", [x, r], f"{prefix}.mul", ir.DataType.FLOAT)
    shifted = build.op("Add", [scaled, offset], f"{prefix}.add", ir.DataType.FLOAT)
    first = scaled.producer()
    assert first is not None  # made above
    return build.op("QuantizeLinear", [shifted, one, zero], f"{prefix}.round", dtype), first


def _summed_parts(
    build: Builder,
    node: ir.Node,
    codes: ir.Value,
    quantized: QuantizedLayer,
    layer: Layer,
    prefix: str,
    sums: ExactSums,
) -> ir.Value:
    """Return the int32 sums of a layer whose float sums would not be exact: its parts, and its bias, added as integers."""
    total: ir.Value | None = None
    for index, part in enumerate(sums.slices):
        name = f"{prefix}.part{index}"
        x, weight = codes, quantized.weight
        if len(sums.slices) > 1:
            x = _sliced(build, codes, part, layer, name) if layer.group == 1 else codes
            weight = part_weight(layer, weight, part)
        y = _integer_layer(build, node, x, weight, None, name)
        y = build.cast(y, ir.DataType.INT32, f"{name}.cast")
        total = y if total is None else build.op("Add", [total, y], f"{name}.sum", ir.DataType.INT32)
    assert total is not None  # there is at least one slice
    if quantized.bias is None:
        return total
    bias = build.constant(f"{prefix}.bias", _over_channels(quantized.bias, layer))
    return build.op("Add", [total, bias], f"{prefix}.biased", ir.DataType.INT32)


def _sliced(build: Builder, codes: ir.Value, part: slice, layer: Layer, name: str) -> ir.Value:
    axis = 1 if layer.spatial else -1
    bounds = [
        build.constant(f"{name}.{key}", np.asarray([number], np.int64))
        for key, number in (("start", part.start), ("end", part.stop), ("axis", axis))
    ]
    return build.op("Slice", [codes, *bounds], f"{name}.slice", ir.DataType.FLOAT)


def _integer_layer(
    build: Builder, node: ir.Node, x: ir.Value, weight: NDArray[np.int8], bias: NDArray[np.int32] | None, prefix: str
) -> ir.Value:
    inputs = [x, build.constant(f"{prefix}.weight", weight.astype(np.float32))]
    if bias is not None:
        inputs.append(build.constant(f"{prefix}.bias", bias.astype(np.float32)))
    return build.like(node, inputs, prefix, ir.DataType.FLOAT)


def _dequantized(build: Builder, total: ir.Value, deq: NDArray[np.float32], layer: Layer, prefix: str) -> ir.Value:
    """Return int32 sums times the scale of each channel, as float: they are rounded once where they pass 2**24."""
    if layer.channels == 1:
        return _scaled(build, build.cast(total, ir.DataType.FLOAT, f"{prefix}.dequant.float"), deq, layer, prefix)
    scale = build.constant(f"{prefix}.dequant.scale", np.broadcast_to(deq, (layer.channels,)))
    axis = {"axis": layer.output_axis}
    return build.op("DequantizeLinear", [total, scale], f"{prefix}.dequant", ir.DataType.FLOAT, axis)


def _scaled(build: Builder, total: ir.Value, deq: NDArray[np.float32], layer: Layer, prefix: str) -> ir.Value:
    factor = deq.reshape(()) if deq.size == 1 else _over_channels(deq, layer)
    scale = build.constant(f"{prefix}.dequant.scale", factor)
    return build.op("Mul", [total, scale], f"{prefix}.dequant", ir.DataType.FLOAT)


def _over_channels(values: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Return per-channel values shaped to broadcast: [C, 1, 1] over [N, C, H, W]; without such axes the channels are last."""
    return values.reshape(-1, *[1] * layer.spatial)
