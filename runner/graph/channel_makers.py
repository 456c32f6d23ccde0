"""What makes the channels of a tensor, such that a factor of each channel can go into its constants.

layer                        outputs of the weight, bias
MatMul -> Add                outputs of the weight, the constant of the Add
LayerNormalization           gamma, beta
... -> Mul -> Add            the constants: what older exports write for gamma and beta
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.constants import constant, integer_attribute, replace_constant
from runner.graph.layout import Layout
from runner.graph.operators import layout_of, operator_of

# Where a tensor has its channels: behind the batch, or last.
SECOND, LAST = 1, -1


@dataclass(frozen=True, slots=True, eq=False)
class ChannelMaker:
    """Of a tensor's channels.

    Attributes:
        node: that it is known by: a layer's, or the one that gives the tensor.
        axis: of the channels in the tensor, ``SECOND`` or ``LAST``.
        channels: number of them.
        vectors: nodes, with the index of a constant whose last axis are the channels, or that is the same for all.
    """

    node: ir.Node
    axis: int
    channels: int
    vectors: tuple[tuple[ir.Node, int], ...]

    @property
    def is_layer(self) -> bool:
        """Return whether a layer's weight makes the channels."""
        return operator_of(self.node) is not None

    def scale(self, graph: ir.Graph, factors: NDArray[np.float32]) -> None:
        """Multiply the channels by factors."""
        if self.is_layer:
            weight, layout = parameter(self.node, 1), layout_of(self.node)
            assert weight is not None  # it has one
            rows = layout.rows(weight)
            scaled = rows * factors.reshape(-1, *[1] * (rows.ndim - 1))
            replace_constant(graph, self.node, 1, layout.stored(scaled, weight.shape))
        for node, index in self.vectors:
            vector = parameter(node, index)
            assert vector is not None  # it is a constant
            replace_constant(graph, node, index, vector * factors)


def channel_maker(node: ir.Node) -> ChannelMaker | None:
    """Return how a node's first output gets its channels; None where no constants of theirs make them."""
    if node.domain != "":
        return None
    if node.op_type == "LayerNormalization":
        return _normalization(node)
    if node.op_type == "Mul":
        return _scaled(node)
    if node.op_type == "Add":
        return _shifted(node)
    return _layer(node)


def parameter(node: ir.Node, index: int) -> NDArray[np.float32] | None:
    """Return a constant input in float32; None where it is absent, computed, empty or of another type."""
    array = constant(node.inputs[index]) if len(node.inputs) > index else None
    if array is None or array.dtype != np.float32 or not array.size:
        return None
    return array.astype(np.float32, copy=False)


def weight_layout(node: ir.Node) -> Layout | None:
    """Return the layout of a layer's weight, a constant that every position of the input meets; None of other nodes."""
    operator = operator_of(node)
    if operator is None or operator.unweighted or constant(node.inputs[0]) is not None:
        return None
    weight = parameter(node, 1)
    # A vector has no channels.
    if weight is None or weight.ndim < 2:
        return None
    layout = operator.layout(node)
    return None if layout.is_batch else layout


def _layer(node: ir.Node) -> ChannelMaker | None:
    layout, weight = weight_layout(node), parameter(node, 1)
    if layout is None or weight is None:
        return None
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    if has_bias and parameter(node, 2) is None:
        return None
    axis = SECOND if weight.ndim > 2 else LAST
    return ChannelMaker(node, axis, layout.channels(weight.shape), ((node, 2),) if has_bias else ())


def _normalization(node: ir.Node) -> ChannelMaker | None:
    gamma = parameter(node, 1)
    if gamma is None or gamma.ndim != 1 or not _over_last(node):
        return None
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return ChannelMaker(node, LAST, gamma.size, ((node, 1),))
    beta = parameter(node, 2)
    return None if beta is None else ChannelMaker(node, LAST, gamma.size, ((node, 1), (node, 2)))


def _over_last(node: ir.Node) -> bool:
    axis, data = integer_attribute(node, "axis", -1), node.inputs[0]
    return axis == -1 or (data is not None and data.shape is not None and axis == len(data.shape) - 1)


def _scaled(node: ir.Node) -> ChannelMaker | None:
    """Return a Mul by a constant a channel, of what is no constant itself."""
    for index in (0, 1):
        gamma = parameter(node, index)
        if gamma is not None and gamma.ndim and gamma.shape[-1] == gamma.size > 1:
            return ChannelMaker(node, LAST, gamma.size, ((node, index),))
    return None


def _shifted(node: ir.Node) -> ChannelMaker | None:
    """Return what makes the channels that an Add of a constant shifts, where it alone reads them."""
    for index in (0, 1):
        beta, value = parameter(node, index), node.inputs[1 - index]
        maker = None if beta is None or value is None else value.producer()
        if beta is None or maker is None or value is None or len(value.uses()) != 1 or value.is_graph_output():
            continue
        before = channel_maker(maker)
        operator = operator_of(maker)
        # The bias of other layers is an input of theirs.
        if before is None or before.axis != LAST or (operator is not None and operator.bias != "add behind"):
            continue
        if beta.ndim and beta.shape[-1] not in (1, before.channels):
            continue
        known_by = before.node if before.is_layer else node
        return replace(before, node=known_by, vectors=(*before.vectors, (node, index)))
    return None
