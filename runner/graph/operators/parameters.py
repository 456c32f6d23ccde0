"""The constant weight and bias of a node that may be a layer."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.constants import Array, constant
from runner.wording import say


def weight_of(node: ir.Node) -> Array:
    """Return the constant weight of a node whose operator has one."""
    weight = constant(node.inputs[1])
    assert weight is not None  # asked for once it is known to be a constant
    return weight


def kernel_axes(node: ir.Node) -> int:
    """Return how many axes the kernel of a convolution has."""
    return weight_of(node).ndim - 2


def has_bias(node: ir.Node) -> bool:
    """Return whether a node has a third input."""
    return len(node.inputs) > 2 and node.inputs[2] is not None


def why_not_its_bias(node: ir.Node) -> str | None:
    """Return what keeps a node's bias out of an int8 layer; None where nothing does, or it has none."""
    if has_bias(node) and constant(node.inputs[2]) is None:
        return say("the bias is computed by the graph")
    return None
