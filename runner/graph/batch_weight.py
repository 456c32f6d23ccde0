"""The constant weight of a MatMul without leading axes of length 1, which say nothing: [1, 1, K, N] is [K, N].

Exporters write a matrix so to have it meet data of four axes. The deploy format takes weights of two or three.
"""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.constants import Array, constant, replace_constant
from runner.graph.limits import Limits
from runner.graph.tensors import typed


def drop_leading_ones(model: ir.Model, limits: Limits) -> list[str]:
    """Drop them where the weight has more axes than a target takes; return the names of the layers.

    Changes the model it is given. The product must keep its axes, so the data has to have as many; where their number is not
    known the weight stays.
    """
    wide = {node: weight for node in model.graph if (weight := _wide_weight(node, limits.matrix_axes)) is not None}
    if not wide:
        return []
    shapes = {
        node.name: shape
        for node in typed(model).graph
        if node.inputs and node.inputs[0] is not None and (shape := node.inputs[0].shape) is not None
    }
    dropped = []
    for node, weight in wide.items():
        shape = shapes.get(node.name)
        if shape is not None and len(shape) >= weight.ndim:
            replace_constant(model.graph, node, 1, weight.reshape(_without_leading_ones(weight.shape)))
            dropped.append(node.name or "")
    return dropped


def _wide_weight(node: ir.Node, most: int) -> Array | None:
    """Return the constant second input of a MatMul that has more axes than a weight may have and need not have them."""
    weight = constant(node.inputs[1]) if node.op_type == "MatMul" and node.domain == "" else None
    if weight is None or weight.ndim <= most or len(_without_leading_ones(weight.shape)) > most:
        return None
    return weight


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape
