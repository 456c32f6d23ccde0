"""Fold Add, Sub, Mul and Div by constants, one a channel, into the convolution before them.

Exporters write a bias as an Add of its own, and BatchNormalization as a chain of these. Each is folded like a
BatchNormalization; adding to a convolution without bias is exact, for it changes no weight and rounds nothing.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.batchnorm import Affine, Folds, fold_into, into_all, remove_folded, sole_convolution
from runner.graph.constants import Array, constant
from runner.graph.operators import layout_of

_OPERATORS = ("Add", "Sub", "Mul", "Div")


def fold_channelwise(model: ir.Model, folds: Folds = into_all) -> list[str]:
    """Fold every such operator that alone reads a convolution's output; return the names of those folded.

    Nothing is folded into a convolution whose name ``folds`` says no to.     Changes the model it is given.
    """
    folded = []
    for node in list(model.graph):
        if node.op_type in _OPERATORS and node.domain == "" and _fold(model.graph, node, folds):
            folded.append(node.name or "")
    return folded


def _fold(graph: ir.Graph, node: ir.Node, folds: Folds) -> bool:
    for index in (0, 1):
        conv, operand = sole_convolution(node.inputs[index]), constant(node.inputs[1 - index])
        weight = None if conv is None else constant(conv.inputs[1])
        if (
            conv is None
            or operand is None
            or weight is None
            or operand.dtype != np.float32
            or not folds(conv.name or "")
        ):
            continue
        channels = layout_of(conv).channels(weight.shape)
        values = _per_channel(operand, channels, weight.ndim)
        affine = None if values is None else _affine(node.op_type, values, constant_first=index == 1)
        if affine is not None and fold_into(graph, conv, affine):
            remove_folded(graph, node, conv.outputs[0])
            return True
    return False


def _per_channel(operand: Array, channels: int, rank: int) -> NDArray[np.float64] | None:
    """Return the constant as one value a channel; None where it does not broadcast so over [N, C, ...] of ``rank`` axes."""
    if operand.ndim > rank:
        return None
    shape = (1,) * (rank - operand.ndim) + operand.shape
    if operand.size != 1 and shape != (1, channels, *[1] * (rank - 2)):
        return None
    return np.broadcast_to(np.asarray(operand, np.float64).reshape(-1), (channels,))


def _affine(op_type: str, values: NDArray[np.float64], *, constant_first: bool) -> Affine | None:
    ones, zeros = np.ones(values.shape), np.zeros(values.shape)
    if op_type == "Add":
        return Affine(ones, values)
    if op_type == "Sub":
        return Affine(-ones, values) if constant_first else Affine(ones, -values)
    if op_type == "Mul":
        return Affine(values, zeros)
    if constant_first:
        return None
    with np.errstate(all="ignore"):
        return Affine(ones / values, zeros)
