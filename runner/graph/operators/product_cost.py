"""What a product with a constant matrix, or with a batch of them, costs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.graph.operators.operator import Layer, LayerCost
from runner.graph.operators.parameters import weight_of


def product_cost(node: ir.Node, layer: Layer, shape: tuple[int, ...]) -> LayerCost:
    """Return multiply-accumulates and outputs for one item.

    Args:
        node: the layer's.
        layer: gives its output channels.
        shape: of its input, with batch axis.
    """
    # A batch of matrices meets a batch of inputs as broadcasting pairs them; for one matrix there is nothing to pair.
    batch = np.broadcast_shapes(shape[:-2], weight_of(node).shape[:-2])
    outputs = int(np.prod((*batch, *shape[-2:-1]))) * layer.channels
    return LayerCost(outputs * shape[-1], outputs)
