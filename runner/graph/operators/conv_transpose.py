"""Transposed convolution: each input value is spread over the outputs that its window covers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.graph.constants import integer_attribute, integer_attributes, string_attribute
from runner.graph.layout import InputsFirst, Layout
from runner.graph.limits import Limits
from runner.graph.operators.operator import Layer, LayerCost, Operator
from runner.graph.operators.parameters import kernel_axes, weight_of, why_not_its_bias
from runner.graph.operators.windows import sizes
from runner.wording import say


def _why_not(node: ir.Node, _limits: Limits) -> str | None:
    axes = kernel_axes(node)
    if axes not in (1, 2):
        return say("a transposed convolution over {axes} axes is not quantized; only over 1 or 2", axes=axes)
    if any(dilation != 1 for dilation in integer_attributes(node, "dilations", [1] * axes)):
        return say("a transposed convolution is quantized only with dilations of 1")
    image, wanted = sizes(node.inputs[0])[2:], integer_attributes(node, "output_shape", [])[-axes:]
    if any(isinstance(size, int) and size > made for size, made in zip(image, wanted, strict=False)):
        # onnx's shape inference gives such an output two axes only, and whatever follows it is refused.
        return say(
            "its output_shape {wanted} is smaller than its input, and onnxruntime takes no operator behind "
            "such an output",
            wanted=wanted,
        )
    return why_not_its_bias(node)


def _layout(node: ir.Node) -> Layout:
    return InputsFirst(integer_attribute(node, "group", 1))


def _cost(node: ir.Node, layer: Layer, shape: tuple[int, ...]) -> LayerCost:
    weight = weight_of(node)
    outputs = shape[0] * layer.channels * int(np.prod(_spread(node, shape[2:], weight.shape[2:])))
    # Every input value meets the weights of its channel once.
    return LayerCost(int(np.prod(shape)) * (weight.size // weight.shape[0]), outputs)


def _spread(node: ir.Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """Return the size of the output along each axis."""
    rank = len(size)
    strides = integer_attributes(node, "strides", [1] * rank)
    fixed = integer_attributes(node, "output_shape", [])
    if fixed:
        return fixed[-rank:]
    more = integer_attributes(node, "output_padding", [0] * rank)
    full = [strides[i] * (n - 1) + more[i] + kernel[i] for i, n in enumerate(size)]
    auto = string_attribute(node, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        # onnxruntime adds nothing to a full output that is shorter.
        return [min(n * s, whole) for n, s, whole in zip(size, strides, full, strict=True)]
    pads = integer_attributes(node, "pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    return [whole - pads[i] - pads[i + rank] for i, whole in enumerate(full)]


CONV_TRANSPOSE = Operator(
    op_type="ConvTranspose",
    why_not=_why_not,
    layout=_layout,
    spatial=kernel_axes,
    cost=_cost,
    is_convolution=True,
)
