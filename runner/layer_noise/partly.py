"""A quantized model with one half of what is rounded: its weights alone, or what flows through it alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import along_axis, dequant_scale
from runner.convert.fake_quant import fake_quant_model, with_layers
from runner.convert.simulate import Simulator
from runner.graph.builder import Builder
from runner.graph.constants import constant
from runner.graph.layers import Layer, LayeredModel
from runner.graph.smoothing import divided, smoothed_rows
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers

# What is rounded: all, what layers hold, or what they and other nodes read.
Part = Literal["weights", "activations", "both"]
PARTS: tuple[Part, ...] = ("weights", "activations", "both")


def partly_quantized(model: LayeredModel, form: QuantizedLayers, part: Part) -> ir.Model:
    """Return a copy of the float model in which a part of a form is rounded; values keep their names.

    Biases are rounded with the weights: corrections have made them answer for these.

    Args:
        model: prepared, at opset 13 or later.
        form: what is quantized.
        part: of it.
    """
    if part == "both":
        return fake_quant_model(model, form, multiply=True)
    if part == "weights":
        return with_layers(model, QuantizedLayers(form.layers), _Weights())
    unshifted = {name: replace(layer, shift=None) for name, layer in form.layers.items()}
    return with_layers(model, QuantizedLayers(unshifted, form.tensors), _Activations())


@dataclass(frozen=True, slots=True)
class _Weights:
    """Layers with the real values of their integers, on float activations."""

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        return x

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        record = quantized.record
        inputs = [divided(build, x, record.balance_factors, layer, prefix)]
        if layer.weight is not None:
            inputs.append(build.constant(f"{prefix}.weight", real_weight(layer, quantized)))
        if quantized.bias is not None:
            scales = dequant_scale(record.activation.scale, np.asarray(record.weight_scales, np.float32))
            bias = quantized.bias * np.broadcast_to(scales, quantized.bias.shape)
            inputs.append(build.constant(f"{prefix}.bias", bias.astype(np.float32)))
        return build.like(node, inputs, prefix, ir.DataType.FLOAT)


@dataclass(frozen=True, slots=True)
class _Activations:
    """Layers with their float weights, on what is rounded and back."""

    simulator: Simulator = field(default_factory=Simulator)

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        return self.simulator.tensor(build, x, params, prefix)

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        record = quantized.record
        x = divided(build, x, record.balance_factors, layer, prefix)
        inputs = [self.simulator.tensor(build, x, record.activation, prefix), *node.inputs[1:]]
        if record.balance_factors:
            stored = constant(node.inputs[1])
            assert stored is not None  # the layer has a weight
            rows = smoothed_rows(node, layer, record.balance_factors)
            inputs[1] = build.constant(f"{prefix}.weight", layer.layout.stored(rows, stored.shape))
        return build.like(node, inputs, prefix, ir.DataType.FLOAT)


def real_weight(layer: Layer, quantized: QuantizedLayer) -> NDArray[np.float32]:
    """Return the real values of a layer's integer weights, as stored; of a balanced layer those that meet its input."""
    rows = layer.layout.rows(quantized.weight).astype(np.float32)
    scales = np.asarray(quantized.record.weight_scales, np.float32)
    return layer.layout.stored(rows * along_axis(scales, rows.ndim, 0), quantized.weight.shape)
