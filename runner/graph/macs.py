"""Multiply-accumulates and output sizes of layers, for one item."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from runner.graph.layers import FoundLayers
from runner.graph.operators.operator import LayerCost as LayerCost


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
    return {
        layer.name: layer.operator.cost(nodes[layer.name], layer, input_shapes[layer.name]) for layer in found.layers
    }
