"""New nodes and constants, collected before they are put into a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from runner.graph.constants import Array, Names, make_constant

# From here on a reduction's axes are an input; ReduceSum's are from 13 on.
_REDUCTIONS_TAKE_AXES = 18
# The axes of Squeeze and Unsqueeze are one from here on.
_SQUEEZES_TAKE_AXES = 13


class Builder:
    """Collects nodes in order, and the constants they read."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []

    def constant(self, name: str, array: Array) -> ir.Value:
        """Return a new constant."""
        value = make_constant(name, array)
        self.constants.append(value)
        return value

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        dtype: ir.DataType,
        attributes: Mapping[str, int | float | str | list[int]] | None = None,
    ) -> ir.Value:
        """Return the output, called ``<name>.output0``, of a new node of the default domain."""
        output = ir.Value(name=f"{name}.output0", type=ir.TensorType(dtype))
        own = [_attribute(key, value) for key, value in (attributes or {}).items()]
        self.nodes.append(ir.Node("", op_type, inputs, attributes=own, outputs=[output], name=name))
        return output

    def like(
        self,
        node: ir.Node,
        inputs: Sequence[ir.Value | None],
        name: str,
        dtype: ir.DataType,
        *,
        op_type: str | None = None,
    ) -> ir.Value:
        """Return the output of a copy of ``node`` (type, unless another is named, and attributes) that reads other inputs."""
        output = ir.Value(name=f"{name}.output0", type=ir.TensorType(dtype))
        attributes = list(node.attributes.values())
        self.nodes.append(
            ir.Node(node.domain, op_type or node.op_type, inputs, attributes=attributes, outputs=[output], name=name)
        )
        return output

    def reduced(self, op_type: str, value: ir.Value, axes: list[int], name: str, opset: int) -> ir.Value:
        """Return ``value`` reduced over ``axes``, which are dropped; at ``opset`` 18 and later they are an input."""
        if opset < _REDUCTIONS_TAKE_AXES:
            return self.op(op_type, [value], name, ir.DataType.FLOAT, {"axes": axes, "keepdims": 0})
        places = self.constant(f"{name}.axes", np.array(axes, np.int64))
        return self.op(op_type, [value, places], name, ir.DataType.FLOAT, {"keepdims": 0})

    def with_axis(self, value: ir.Value, axis: int, name: str, opset: int) -> ir.Value:
        """Return ``value`` with one more axis, of length 1; before ``opset`` 13 which one is an attribute."""
        return self._axis("Unsqueeze", value, axis, name, opset)

    def without_axis(self, value: ir.Value, axis: int, name: str, opset: int) -> ir.Value:
        """Return ``value`` without an axis of length 1; before ``opset`` 13 which one is an attribute."""
        return self._axis("Squeeze", value, axis, name, opset)

    def _axis(self, op_type: str, value: ir.Value, axis: int, name: str, opset: int) -> ir.Value:
        dtype = value.dtype or ir.DataType.FLOAT
        if opset < _SQUEEZES_TAKE_AXES:
            return self.op(op_type, [value], name, dtype, {"axes": [axis]})
        return self.op(op_type, [value, self.constant(f"{name}.axes", np.array([axis], np.int64))], name, dtype)

    def cast(self, value: ir.Value, to: ir.DataType, name: str) -> ir.Value:
        """Return ``value`` cast to another type."""
        return self.op("Cast", [value], name, to, {"to": int(to)})

    def register(self, graph: ir.Graph, names: Names | None = None, *, instead: ir.Node | None = None) -> None:
        """Make the collected constants initializers of ``graph``; the nodes are placed by the caller.

        A constant, an output or a node whose name is taken gets a numeric suffix.

        Args:
            graph: to register with.
            names: the graph's, added to; gathered by default.
            instead: a node that the new ones will replace: one of them may have its name.
        """
        names = names or Names.of(graph)
        if instead is not None:
            names.nodes.discard(instead.name)
        for value in [*self.constants, *(output for node in self.nodes for output in node.outputs)]:
            value.name = names.new_value(value.name or "constant")
        for node in self.nodes:
            node.name = names.new_node(node.name or node.op_type)
        for value in self.constants:
            graph.register_initializer(value)


def _attribute(name: str, value: float | str | list[int]) -> ir.Attr:
    """Return an attribute; onnx-ir's own way to find its type takes longer than the rest of a node."""
    if isinstance(value, str):
        return ir.AttrString(name, value)
    if isinstance(value, float):
        return ir.AttrFloat32(name, value)
    return ir.AttrInt64s(name, value) if isinstance(value, list) else ir.AttrInt64(name, int(value))
