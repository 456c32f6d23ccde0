"""Layers over one axis that a target has over two only, made layers over two, the first of length 1.

    x [N, C, L] -> Unsqueeze -> [N, C, 1, L] -> the layer, its kernel [1, k] -> Squeeze -> [N, C, L]

Each output is the same sum of the same products; what is added moves no value. A transposed convolution (vocoders, nets for
EEG) and an AveragePool are such layers; a convolution over one axis the format has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.behind import put_behind
from runner.graph.builder import Builder
from runner.graph.constants import replace_constant
from runner.graph.layers import why_not_spread
from runner.graph.limits import Limits
from runner.graph.operators import operator_of
from runner.graph.operators.parameters import weight_of

Generic = TypeVar("Generic", bound=np.generic)
# Of [N, C, L]: the new axis stands before the one that there is.
_NEW_AXIS = 2
# Attribute -> what it is along the new axis: for each axis, or a beginning and an end.
_ALONG = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1, "pads": 0}


def spread_over_two_axes(model: ir.Model, limits: Limits) -> list[str]:
    """Make every such layer one over two axes; return the names of the layers. Changes the model it is given.

    One that could not be quantized over two axes either stays as it is.
    """
    spread = []
    for node in list(model.graph):
        if why_not_spread(node, limits) is None:
            _spread(model, node)
            spread.append(node.name or "")
    return spread


def spread_weight(weight: NDArray[Generic]) -> NDArray[Generic]:
    """Return the weight [.., .., k] of such a layer as that over two axes, [.., .., 1, k]."""
    return np.expand_dims(weight, _NEW_AXIS)


def _spread(model: ir.Model, node: ir.Node) -> None:
    graph, opset, operator = model.graph, model.opset_imports[""], operator_of(node)
    source, output = node.inputs[0], node.outputs[0]
    assert source is not None and operator is not None  # a layer reads an activation
    before, behind = Builder(), Builder()
    plane = before.with_axis(source, _NEW_AXIS, f"{node.name}.unsqueeze", opset)
    before.register(graph)
    graph.insert_before(node, before.nodes)
    node.replace_input_with(0, plane)
    if operator.unweighted is None:
        replace_constant(graph, node, 1, spread_weight(weight_of(node)))
    for key, value in _ALONG.items():
        held = node.attributes.get(key)
        if held is not None:
            node.attributes[key] = ir.AttrInt64s(key, _with_new_axis(held.as_ints(), value, pairs=key == "pads"))
    put_behind(graph, node, behind, behind.without_axis(output, _NEW_AXIS, f"{node.name}.squeeze", opset))
    output.shape = None if output.shape is None else ir.Shape([*output.shape[:2], 1, *output.shape[2:]])


def _with_new_axis(held: Sequence[int], value: int, *, pairs: bool) -> list[int]:
    """Return an attribute with the new axis before its last entry, or before its beginning and its end."""
    if pairs:
        begin, end = held
        return [value, begin, value, end]
    return [*held[:-1], value, held[-1]]
