"""Convolution over one, two or three axes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.graph.constants import integer_attribute, integer_attributes
from runner.graph.layout import Layout, OutputsFirst
from runner.graph.limits import Limits
from runner.graph.operators.operator import Layer, LayerCost, Operator
from runner.graph.operators.parameters import kernel_axes, weight_of, why_not_its_bias
from runner.graph.operators.windows import CUTS, same_cuts, windows
from runner.wording import say

# Places that SAME may cut off without harm.
HARMLESS_CUT = 2


def _why_not(node: ir.Node, _limits: Limits) -> str | None:
    weight, axes = weight_of(node), kernel_axes(node)
    if axes not in (1, 2, 3):
        return say("a convolution over {axes} axes is not quantized; only over 1, 2 or 3", axes=axes)
    if axes == 3 and integer_attributes(node, "dilations", [1, 1, 1])[0] != 1:
        return say("a convolution over 3 axes is quantized only with a dilation of 1 along the first")
    if same_cuts(node, weight.shape[2:], HARMLESS_CUT):
        return CUTS
    return why_not_its_bias(node)


def _layout(node: ir.Node) -> Layout:
    return OutputsFirst(integer_attribute(node, "group", 1))


def _cost(node: ir.Node, layer: Layer, shape: tuple[int, ...]) -> LayerCost:
    weight = weight_of(node)
    outputs = shape[0] * layer.channels * int(np.prod(windows(node, shape[2:], weight.shape[2:])))
    return LayerCost(outputs * (weight.size // layer.channels), outputs)


CONV = Operator(
    op_type="Conv",
    why_not=_why_not,
    layout=_layout,
    spatial=kernel_axes,
    cost=_cost,
    has_patches=True,
    integer_operator="ConvInteger",
    is_convolution=True,
)
