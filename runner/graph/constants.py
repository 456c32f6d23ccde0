"""Initializers as numpy arrays, and edits that keep a graph's names."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[np.generic]


def constant(value: ir.Value | None) -> Array | None:
    """Return the array of an initializer or of a Constant node's output; None for anything computed."""
    if value is None:
        return None
    if value.const_value is not None and (value.is_initializer() or _is_constant_node(value)):
        return np.asarray(value.const_value.numpy())
    if _is_constant_node(value):
        producer = value.producer()
        assert producer is not None  # narrowed by _is_constant_node
        attribute = producer.attributes.get("value")
        return None if attribute is None else np.asarray(attribute.as_tensor().numpy())
    return None


def add_initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add a constant under ``name``, or a free name like it; return its value."""
    value = make_constant(free_name(graph, name), array)
    graph.register_initializer(value)
    return value


def free_name(graph: ir.Graph, name: str) -> str:
    """Return ``name`` or the first of ``name_1``, ``name_2`` … that no value of the graph has."""
    return free_of(value_names(graph), name)


def value_names(graph: ir.Graph) -> set[str | None]:
    """Return the names of the graph's inputs, initializers and node outputs, those of inner graphs included.

    An inner graph may read an outer value by name, so no name may be given twice.
    """
    names: set[str | None] = {value.name for value in graph.inputs}.union(graph.initializers)
    for node in graph.all_nodes():
        names.update(output.name for output in node.outputs)
        for attribute in node.attributes.values():
            for body in bodies(attribute):
                names.update(value.name for value in body.inputs)
                names.update(body.initializers)
    return names


def bodies(attribute: ir.Attr) -> Sequence[ir.Graph]:
    """Return the graphs that an attribute holds: those of an If, Loop or Scan."""
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.as_graph(),)
    return attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else ()


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a graph has given: of values, those of inner graphs included, and of its own nodes.

    Who asks for many need not have them gathered each time.
    """

    values: set[str | None]
    nodes: set[str | None]

    @classmethod
    def of(cls, graph: ir.Graph) -> Names:
        """Return the names of a graph."""
        return cls(value_names(graph), {node.name for node in graph})

    def new_value(self, name: str) -> str:
        """Return ``name`` or a free name like it for a value, and take note of it."""
        return _given(self.values, name)

    def new_node(self, name: str) -> str:
        """Return ``name`` or a free name like it for a node, and take note of it."""
        return _given(self.nodes, name)


def free_of(taken: Container[str | None], name: str) -> str:
    """Return ``name`` or the first of ``name_1``, ``name_2`` … that is not among ``taken``."""
    free, suffix = name, 0
    while free in taken:
        suffix += 1
        free = f"{name}_{suffix}"
    return free


def _given(taken: set[str | None], name: str) -> str:
    free = free_of(taken, name)
    taken.add(free)
    return free


def make_constant(name: str, array: Array) -> ir.Value:
    """Return an initializer value that belongs to no graph yet."""
    # Not ir.tensor(), which asks of every array first whether it is a tensor of some other library; a model has thousands.
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    return ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)


def is_own(value: ir.Value) -> bool:
    """Return whether an initializer serves one input of one node alone, so that it can be changed for it.

    What a body of an If, Loop or Scan reads counts too, and so does a model's output.
    """
    return value.is_initializer() and len(value.uses()) == 1 and not value.is_graph_output()


def replace_constant(graph: ir.Graph, node: ir.Node, index: int, array: Array) -> None:
    """Give a node another constant; an initializer that others read too, or that is an output, stays for them."""
    value = node.inputs[index]
    assert value is not None and value.name is not None  # it is a constant
    if is_own(value):
        # Made contiguous, a single number would become a vector of one.
        value.const_value = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=value.name)
        value.shape = ir.Shape(array.shape)
    else:
        node.replace_input_with(index, add_initializer(graph, value.name, array))


def replace_node(graph: ir.Graph, node: ir.Node, new_nodes: Sequence[ir.Node], new_output: ir.Value) -> None:
    """Put ``new_nodes`` in the place of ``node``; ``new_output`` takes over the name, type and uses of its first output."""
    old = node.outputs[0]
    if new_output.type is None:
        new_output.type = old.type
    if new_output.shape is None:
        new_output.shape = old.shape
    graph.insert_before(node, new_nodes)
    name = old.name
    old.replace_all_uses_with(new_output, replace_graph_outputs=True)
    old.name = None
    new_output.name = name
    graph.remove(node, safe=True)


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """Return an integer attribute of a node, or ``default`` where it is absent."""
    attribute = node.attributes.get(name)
    return default if attribute is None else int(attribute.as_int())


def integer_attributes(node: ir.Node, name: str, default: list[int]) -> list[int]:
    """Return a list attribute of a node, or ``default`` where it is absent."""
    attribute = node.attributes.get(name)
    return default if attribute is None else [int(value) for value in attribute.as_ints()]


def string_attribute(node: ir.Node, name: str, default: str) -> str:
    """Return a text attribute of a node, or ``default`` where it is absent."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """Return a float attribute of a node, or ``default`` where it is absent."""
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.as_float())


def _is_constant_node(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "Constant" and producer.domain in ("", "ai.onnx")
