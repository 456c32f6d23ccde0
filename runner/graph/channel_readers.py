"""The layers that read a tensor's channels, where no others do, so that a channel's factor can go out of their weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.channel_makers import LAST, SECOND, parameter, weight_layout
from runner.graph.constants import constant, integer_attribute, replace_constant


def channel_readers(value: ir.Value, axis: int, channels: int) -> tuple[ir.Node, ...]:
    """Return the layers that read a tensor, in graph order; none where anything else does.

    Between them and the tensor stand only operators that move whole channels: Identity, Transpose, Reshape. A Shape reads no
    values.

    Args:
        value: the tensor.
        axis: of its channels, ``SECOND`` or ``LAST``.
        channels: number of them.
    """
    found: list[ir.Node] = []
    if not _gather(value, axis, channels, found):
        return ()
    return tuple(found)


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


def _gather(value: ir.Value, axis: int, channels: int, found: list[ir.Node]) -> bool:
    """Add the layers that read a tensor; return False where something else does."""
    uses = value.uses()
    if value.is_graph_output() or not uses:
        return False
    for node, index in uses:
        if node.op_type == "Shape" and node.domain == "":
            continue
        # A node inside the body of another one may read it too.
        if index != 0 or node.domain != "" or node.graph is not value.graph:
            return False
        if _reads(node, axis, channels):
            found.append(node)
            continue
        moved = _moved(node, axis, channels)
        if moved is None or not _gather(node.outputs[0], moved, channels, found):
            return False
    return bool(found)


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
    return LAST if node.op_type == "Reshape" and axis == LAST and _last(node) == channels else None


def _last(node: ir.Node) -> int | None:
    """Return the size of the last axis of what a Reshape gives, where it is known."""
    shape = constant(node.inputs[1])
    given = -1 if shape is None or not shape.size else int(np.asarray(shape, np.int64).reshape(-1)[-1])
    if given > 0:
        return given
    value = node.outputs[0]
    last = None if value.shape is None or not len(value.shape) else value.shape[-1]
    return last if isinstance(last, int) else None
