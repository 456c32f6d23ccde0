"""Multiply-accumulates and output sizes of layers, for one item."""

from __future__ import annotations

from collections.abc import Mapping

from runner.graph.layers import LayeredModel
from runner.graph.operators.operator import LayerCost as LayerCost


def layer_costs(model: LayeredModel, input_shapes: Mapping[str, tuple[int, ...]]) -> dict[str, LayerCost]:
    """Return each layer's cost.

    Args:
        model: the prepared float model.
        input_shapes: layer name -> shape of its input for one item, with batch axis.
    """
    return {
        layer.name: layer.operator.cost(model.node(layer.name), layer, input_shapes[layer.name])
        for layer in model.layers
    }
