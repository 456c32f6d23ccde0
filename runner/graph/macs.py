"""Multiply-accumulates and output sizes of layers, for one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from runner.graph.constants import constant
from runner.graph.layers import FoundLayers, Layer


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Of one layer and one item: multiply-accumulates, and values in the output."""

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
    weight = constant(node.inputs[1])
    assert weight is not None  # every layer has a constant weight
    per_output = weight.size // layer.channels
    if layer.op_type != "Conv":
        outputs = int(np.prod(shape[:-1])) * layer.channels
    else:
        outputs = shape[0] * layer.channels * int(np.prod(_conv_output(node, shape[2:], weight.shape[2:])))
    return LayerCost(outputs * per_output, outputs)


def _conv_output(node: ir.Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    rank = len(size)

    def values(name: str, default: list[int]) -> list[int]:
        attribute = node.attributes.get(name)
        return default if attribute is None else [int(v) for v in attribute.as_ints()]

    strides, dilations = values("strides", [1] * rank), values("dilations", [1] * rank)
    pads = values("pads", [0] * 2 * rank)
    auto_pad = node.attributes.get("auto_pad")
    if auto_pad is not None and auto_pad.as_string() in ("SAME_UPPER", "SAME_LOWER"):
        return [-(-n // s) for n, s in zip(size, strides, strict=True)]
    return [
        (n + pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, n in enumerate(size)
    ]
