"""Multiply-accumulates and output sizes of layers, for one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from runner.graph.constants import constant, integer_attribute, integer_attributes, string_attribute
from runner.graph.layers import FoundLayers, Layer


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Of one layer and one item: multiply-accumulates (for AveragePool additions), and values in the output."""

    macs: int
    outputs: int


def layer_costs(
    model: ir.Model, found: FoundLayers, input_shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, LayerCost]:
    """Return each layer's cost.

    Args:
        model: the prepared float model.
        found: its layers.
        input_shapes: layer name -> shape of its input for one item, with batch axis.
    """
    nodes = {node.name: node for node in model.graph}
    return {layer.name: _cost(nodes[layer.name], layer, input_shapes[layer.name]) for layer in found.layers}


def _cost(node: ir.Node, layer: Layer, shape: tuple[int, ...]) -> LayerCost:
    if layer.op_type == "AveragePool":
        kernel = tuple(integer_attributes(node, "kernel_shape", []))
        outputs = shape[0] * shape[1] * int(np.prod(_windows(node, shape[2:], kernel)))
        return LayerCost(outputs * int(np.prod(kernel)), outputs)
    weight = constant(node.inputs[1])
    assert weight is not None  # every other layer has a constant weight
    if layer.op_type == "ConvTranspose":
        outputs = shape[0] * layer.channels * int(np.prod(_spread(node, shape[2:], weight.shape[2:])))
        # Every input value meets the weights of its channel once.
        return LayerCost(int(np.prod(shape)) * (weight.size // weight.shape[0]), outputs)
    if layer.op_type == "Conv":
        outputs = shape[0] * layer.channels * int(np.prod(_windows(node, shape[2:], weight.shape[2:])))
        return LayerCost(outputs * (weight.size // layer.channels), outputs)
    # A batch of matrices meets a batch of inputs as broadcasting pairs them; for Gemm and one matrix there is nothing to pair.
    batch = np.broadcast_shapes(shape[:-2], weight.shape[:-2])
    outputs = int(np.prod((*batch, *shape[-2:-1]))) * layer.channels
    return LayerCost(outputs * shape[-1], outputs)


def _windows(node: ir.Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """Return how often a kernel fits into each axis of the input."""
    rank = len(size)
    strides = integer_attributes(node, "strides", [1] * rank)
    dilations = integer_attributes(node, "dilations", [1] * rank)
    auto = string_attribute(node, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        return [-(-n // s) for n, s in zip(size, strides, strict=True)]
    pads = integer_attributes(node, "pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    ceil = bool(integer_attribute(node, "ceil_mode", 0))
    windows = []
    for i, n in enumerate(size):
        room = n + pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) - 1
        count = (-(-room // strides[i]) if ceil else room // strides[i]) + 1
        # A window that would start in the padding at the end is not made.
        windows.append(count - 1 if ceil and (count - 1) * strides[i] >= n + pads[i] else count)
    return windows


def _spread(node: ir.Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """Return the size of a transposed convolution's output along each axis."""
    rank = len(size)
    strides = integer_attributes(node, "strides", [1] * rank)
    fixed = integer_attributes(node, "output_shape", [])
    if fixed:
        return fixed[-rank:]
    more = integer_attributes(node, "output_padding", [0] * rank)
    full = [strides[i] * (n - 1) + more[i] + kernel[i] for i, n in enumerate(size)]
    auto = string_attribute(node, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        # onnxruntime adds nothing to a full output that is shorter.
        return [min(n * s, whole) for n, s, whole in zip(size, strides, full, strict=True)]
    pads = integer_attributes(node, "pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    return [whole - pads[i] - pads[i + rank] for i, whole in enumerate(full)]
