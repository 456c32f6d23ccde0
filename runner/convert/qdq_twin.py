"""The quantized form as a plain QuantizeLinear/DequantizeLinear model, which onnxruntime runs with the CPU's int8 kernels.

    x -> QuantizeLinear(scale_d, zero_point) -> DequantizeLinear -> the layer, with
         weight int8 -> DequantizeLinear(scale_w, one a channel),  bias int32 -> DequantizeLinear(scale_d * scale_w)

It holds the same integers as the simulation, but not its arithmetic: ``x / scale`` instead of ``x * (1 / scale)``, the zero
point added after rounding, and kernels that requantize and, on some CPUs, saturate, wherever onnxruntime fuses a layer with
the QuantizeLinear behind it (in MobileNetV2 two convolutions of three). It serves one figure, ``cpu_int8_gap``, and
nothing else ever runs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from runner.arithmetic import dequant_scale
from runner.convert.fake_quant import with_layers
from runner.convert.simulate import Simulator
from runner.graph.balance import divided
from runner.graph.builder import Builder
from runner.graph.layers import Layer, LayeredModel
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers

_FLOAT = ir.DataType.FLOAT


def qdq_twin(model: LayeredModel, form: QuantizedLayers) -> ir.Model:
    """Return a copy of the float model with the layers and tensors of ``form`` between QuantizeLinear and DequantizeLinear.

    A transposed convolution with groups stays simulated: no axis of its weight numbers the output channels, so one
    DequantizeLinear cannot scale it.

    Args:
        model: prepared, at opset 13 or later.
        form: what is quantized; every layer that is not in it stays float.
    """
    return with_layers(model, form, _Twin())


@dataclass(slots=True)
class _Twin:
    """Builds Q/DQ nodes; layers that read one tensor with equal parameters share its pair."""

    _simulator: Simulator = field(default_factory=Simulator)
    _rounded: dict[tuple[str, ActivationParams], ir.Value] = field(default_factory=dict)

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``x`` rounded to int8 and back."""
        key = (x.name or "", params)
        if key not in self._rounded:
            scale = build.constant(f"{prefix}.scale", np.asarray(params.scale, np.float32))
            zero_point = build.constant(f"{prefix}.zero_point", np.asarray(params.zero_point, np.int8))
            codes = build.op("QuantizeLinear", [x, scale, zero_point], f"{prefix}.quantize", ir.DataType.INT8)
            self._rounded[key] = build.op(
                "DequantizeLinear", [codes, scale, zero_point], f"{prefix}.dequantize", _FLOAT
            )
        return self._rounded[key]

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        """Return the float output of ``node`` with its input ``x`` and its weights in int8."""
        if layer.layout.scale_axis is None:
            return self._simulator.layer(build, node, layer, quantized, prefix, x)
        record = quantized.record
        x = divided(build, x, record.balance_factors, layer, prefix)
        inputs = [self.tensor(build, x, record.activation, f"{prefix}.quant")]
        if layer.weight is not None:
            scales = np.asarray(record.weight_scales, np.float32)
            # One scale in all; as a vector it would have to be one an output.
            at = {"axis": layer.layout.scale_axis} if layer.per_channel else None
            factor = np.broadcast_to(scales, (layer.channels,)) if layer.per_channel else scales.reshape(())
            weight = build.constant(f"{prefix}.weight", quantized.weight)
            scale = build.constant(f"{prefix}.weight.scale", factor)
            inputs.append(build.op("DequantizeLinear", [weight, scale], f"{prefix}.weight.real", _FLOAT, at))
        if quantized.bias is not None:
            deq = dequant_scale(record.activation.scale, np.asarray(record.weight_scales, np.float32))
            bias = build.constant(f"{prefix}.bias", quantized.bias)
            scale = build.constant(f"{prefix}.bias.scale", np.broadcast_to(deq, quantized.bias.shape))
            inputs.append(build.op("DequantizeLinear", [bias, scale], f"{prefix}.bias.real", _FLOAT, {"axis": 0}))
        return build.like(node, inputs, prefix, _FLOAT)
