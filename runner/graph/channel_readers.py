"""The layers that read a tensor's channels, where no others do, so that a channel's factor can go out of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.channel_makers import LAST, SECOND, parameter, weight_layout
from runner.graph.constants import constant, integer_attribute, replace_constant, string_attribute


def channel_readers(value: ir.Value, axis: int, channels: int) -> tuple[ir.Node, ...]:
    """Return the layers that read a tensor; none where anything else does.

    Between them and the tensor stand only operators that move whole channels: Identity, Transpose, Reshape, Slice, Pad by
    zeros, and Concat of nothing but parts of the tensor. A Shape reads no values.

    Args:
        value: the tensor.
        axis: of its channels, ``SECOND`` or ``LAST``.
        channels: number of them.
    """
    walk = _Walk(channels)
    return tuple(walk.readers) if walk.follow(value, axis) and walk.joins_are_whole() else ()


def channel_weight(reader: ir.Node) -> NDArray[np.float64]:
    """Return a layer's weight, shape (groups, outputs of one, channels of one, kernel)."""
    layout, weight = weight_layout(reader), parameter(reader, 1)
    assert layout is not None and weight is not None  # of a reader
    rows = layout.rows(weight).astype(np.float64)
    return rows.reshape(layout.group, len(rows) // layout.group, rows.shape[1], -1)


def divide_inputs(graph: ir.Graph, reader: ir.Node, factors: NDArray[np.float32]) -> None:
    """Divide what a layer multiplies each channel by."""
    layout, weight = weight_layout(reader), parameter(reader, 1)
    assert layout is not None and weight is not None  # of a reader
    rows = layout.rows(weight)
    outputs, inputs = rows.shape[:2]
    per_row = np.repeat(factors.reshape(layout.group, inputs), outputs // layout.group, axis=0)
    divided = rows / per_row.reshape(outputs, inputs, *[1] * (rows.ndim - 2))
    replace_constant(graph, reader, 1, layout.stored(divided, weight.shape))


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """From a tensor to the layers that read its channels.

    Attributes:
        channels: number of them.
        readers: the layers found.
        values: what holds nothing but whole channels of the tensor.
        joins: the Concats on the way.
    """

    channels: int
    readers: list[ir.Node] = field(default_factory=list)
    values: set[ir.Value] = field(default_factory=set)
    joins: list[ir.Node] = field(default_factory=list)

    def follow(self, value: ir.Value, axis: int) -> bool:
        """Find the layers that read a value; return False where something else does."""
        if value in self.values:
            return True
        self.values.add(value)
        if value.is_graph_output():
            return False
        return all(self._read_by(node, index, value, axis) for node, index in value.uses())

    def joins_are_whole(self) -> bool:
        """Return whether every Concat reads parts of the tensor alone."""
        return all(part in self.values for join in self.joins for part in join.inputs)

    def _read_by(self, node: ir.Node, index: int, value: ir.Value, axis: int) -> bool:
        # A node inside the body of another one may read it too.
        if node.domain != "" or node.graph is not value.graph:
            return False
        if node.op_type == "Concat":
            self.joins.append(node)
            elsewhere = _are_other_axes([integer_attribute(node, "axis", 0)], value, axis)
            return elsewhere and self.follow(node.outputs[0], axis)
        if index != 0:
            return False
        if node.op_type == "Shape":
            return True
        if _reads(node, axis, self.channels):
            self.readers.append(node)
            return True
        moved = _moved(node, axis, self.channels)
        return moved is not None and self.follow(node.outputs[0], moved)


def _reads(node: ir.Node, axis: int, channels: int) -> bool:
    layout, weight = weight_layout(node), parameter(node, 1)
    if layout is None or weight is None or integer_attribute(node, "transA", 0):
        return False
    rows = layout.rows(weight)
    return axis == (SECOND if weight.ndim > 2 else LAST) and rows.shape[1] * layout.group == channels


def _moved(node: ir.Node, axis: int, channels: int) -> int | None:
    """Return where the channels are behind a node that keeps each whole; None where it does not, or they are elsewhere."""
    if node.op_type == "Identity":
        return axis
    if node.op_type == "Transpose":
        order = list(node.attributes.get_ints("perm", ()))
        place = order.index(axis % len(order)) if order else None
        if place is None:
            return None
        return LAST if place == len(order) - 1 else (SECOND if place == SECOND else None)
    if node.op_type in ("Slice", "Pad"):
        return axis if _leaves_channels(node, axis) else None
    return LAST if node.op_type == "Reshape" and axis == LAST and _last(node) == channels else None


def _leaves_channels(node: ir.Node, axis: int) -> bool:
    """Return whether a Slice takes parts of other axes only, or a Pad puts zeros along others only."""
    value = node.inputs[0]
    arrays = [None if given is None else constant(given) for given in (*node.inputs[1:], None, None, None)]
    if value is None or arrays[0] is None:
        return False
    if node.op_type == "Slice":
        return arrays[2] is not None and _are_other_axes(arrays[2].reshape(-1).tolist(), value, axis)
    amounts, with_value, axes = arrays[0].reshape(-1), arrays[1], arrays[2]
    rank = len(amounts) // 2
    zeros = with_value is None or not np.any(with_value)
    computed = len(node.inputs) > 2 and node.inputs[2] is not None and with_value is None
    if string_attribute(node, "mode", "constant") != "constant" or not zeros or computed or axes is not None:
        return False
    return not np.any(amounts[[axis % rank, axis % rank + rank]])


def _are_other_axes(axes: Sequence[int], value: ir.Value, axis: int) -> bool:
    """Return whether some axes of a value are known not to be that of its channels."""
    if value.shape is None:
        return False
    rank = len(value.shape)
    return all(other % rank != axis % rank for other in axes)


def _last(node: ir.Node) -> int | None:
    """Return the size of the last axis of what a Reshape gives, where it is known."""
    shape = constant(node.inputs[1])
    given = -1 if shape is None or not shape.size else int(np.asarray(shape, np.int64).reshape(-1)[-1])
    if given > 0:
        return given
    value = node.outputs[0]
    last = None if value.shape is None or not len(value.shape) else value.shape[-1]
    return last if isinstance(last, int) else None
