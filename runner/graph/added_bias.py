"""The bias of a MatMul: the constant vector of the Add behind it, which stays a float Add."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import Names, constant
from runner.graph.operators import operator_of
from runner.record import QuantizedLayer


def bias_add(node: ir.Node) -> ir.Node | None:
    """Return the Add that alone reads a MatMul's output and adds a constant float32 vector over its channels.

    None for other nodes, where more nodes read the output, where it is an output of the graph, and where the constant is
    anything but a vector of shape [C], or [1, ..., C], or holds infinities: a mask, to which nothing can be added.
    """
    operator, output = operator_of(node), node.outputs[0]
    if operator is None or operator.bias != "add behind" or output.is_graph_output() or len(output.uses()) != 1:
        return None
    add = next(iter(output.consumers()))
    # A node inside the body of another one may read the output too.
    if add.op_type != "Add" or add.domain != "" or add.graph is not node.graph:
        return None
    weight, value = constant(node.inputs[1]), _addend(node, add)
    bias = constant(value) if value.is_initializer() else None
    if weight is None or bias is None or bias.dtype != np.float32 or bias.ndim == 0 or not np.isfinite(bias).all():
        return None
    return add if bias.shape[-1] == bias.size == operator.layout(node).channels(weight.shape) else None


def takes_bias(node: ir.Node) -> bool:
    """Return whether a layer has a place for a bias: an input of its own, or the Add behind it."""
    operator = operator_of(node)
    return operator is not None and (operator.bias == "input" or bias_add(node) is not None)


def biased(node: ir.Node) -> ir.Node:
    """Return the node whose output is a layer's with its bias: the layer's own, or the Add behind it."""
    return bias_add(node) or node


def float_bias(node: ir.Node) -> NDArray[np.float32] | None:
    """Return a layer's bias, an input of its own or in the Add behind it, flat; None without one."""
    add = bias_add(node)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(value if add is None else _addend(node, add))
    return None if bias is None else np.asarray(bias, np.float32).reshape(-1)


def shift_biases(graph: ir.Graph, layers: Mapping[str, QuantizedLayer], names: Names | None = None) -> None:
    """Let the Add behind each MatMul that has a shift add ``fl32(constant + shift)``.

    Whatever else reads the constant keeps it.

    Args:
        graph: changed.
        layers: by name; one with a shift has such an Add.
        names: the graph's, added to; gathered by default.
    """
    for node in graph:
        layer = layers.get(node.name or "")
        if layer is None or layer.shift is None:
            continue
        add = bias_add(node)
        assert add is not None  # the shift was found for it
        value = _addend(node, add)
        build = Builder()
        bias = np.asarray(constant(value), np.float32)
        shifted = build.constant(f"{value.name}.shifted", bias + layer.shift)
        build.register(graph, names)
        add.replace_input_with(add.inputs.index(value), shifted)


def _addend(node: ir.Node, add: ir.Node) -> ir.Value:
    """Return what an Add that reads a node's output once adds to it."""
    first, second = add.inputs
    value = second if first is node.outputs[0] else first
    assert value is not None  # Add has two inputs
    return value
