"""Averages of windows; over integers the exact sum of each window over the number of values that the average counts.

    codes -> AveragePool -> Mul(count) -> Round        the integer sum again, whatever order or reciprocal the kernel took
          -> Div(count) -> Mul(deq)

The kernel's average is off by a few units in the last place, so times the count it is off by far less than a half while the
sum stays below 2**21, and rounding gives the integer. The count is one number where every window counts all its places;
otherwise it differs at the borders and is itself a convolution of ones with ones, on the input's own height and width.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute, integer_attributes, string_attribute
from runner.graph.layout import OutputsFirst
from runner.graph.limits import Limits
from runner.graph.operators.operator import Layer, LayerCost, Operator, Unweighted
from runner.graph.operators.windows import CUTS, same_cuts, windows
from runner.wording import say

# Places that SAME may cut off without harm.
_HARMLESS_CUT = 1
# An average of integers, times its count and rounded, is their sum again while float32 tells halves apart.
_RECOVERABLE_SUM = 2**21
_FLOAT, _INT64 = ir.DataType.FLOAT, ir.DataType.INT64


def _why_not(node: ir.Node, _limits: Limits) -> str | None:
    kernel = _kernel(node)
    axes = len(kernel)
    if axes not in (1, 2):
        return say("an average over {axes} axes is not quantized; only over 1 or 2", axes=axes)
    strides, dilations = (integer_attributes(node, key, [1] * axes) for key in ("strides", "dilations"))
    if any(dilation != 1 for dilation in dilations):
        return say("an average with dilations is not quantized: the opsets that targets take have none")
    if same_cuts(node, kernel, _HARMLESS_CUT):
        return CUTS
    ends = integer_attributes(node, "pads", [0] * 2 * axes)[axes:]
    beyond = any(s + end > places for s, end, places in zip(strides, ends, kernel, strict=True))
    if integer_attribute(node, "ceil_mode", 0) and beyond:
        # ONNX drops such a window, and onnxruntime's shape inference does not.
        return say("with its ceil_mode a window could lie in the padding alone")
    return None


def _kernel(node: ir.Node) -> tuple[int, ...]:
    return tuple(integer_attributes(node, "kernel_shape", []))


def _cost(node: ir.Node, _layer: Layer, shape: tuple[int, ...]) -> LayerCost:
    kernel = _kernel(node)
    outputs = shape[0] * shape[1] * int(np.prod(windows(node, shape[2:], kernel)))
    return LayerCost(outputs * int(np.prod(kernel)), outputs)


def _ones(node: ir.Node) -> NDArray[np.int8]:
    """Return the weights of a window, which are ones, int8 [1, 1, kh, kw]."""
    return np.ones((1, 1, *_kernel(node)), np.int8)


def _mean(build: Builder, node: ir.Node, codes: ir.Value, prefix: str) -> ir.Value:
    """Return ``float32(sum) / count`` of each window of ``codes``, [N, C, H, W] floats that hold integers."""
    mean = build.like(node, [codes], prefix, _FLOAT)
    count = _count(build, node, codes, f"{prefix}.count")
    product = build.op("Mul", [mean, count], f"{prefix}.sum", _FLOAT)
    total = build.op("Round", [product], f"{prefix}.integer", _FLOAT)
    return build.op("Div", [total, count], f"{prefix}.mean", _FLOAT)


def _count(build: Builder, node: ir.Node, codes: ir.Value, prefix: str) -> ir.Value:
    """Return how many values each window counts: a scalar, or [1, 1, height, width]."""
    ones = _ones(node).astype(np.float32)
    includes_pad = bool(integer_attribute(node, "count_include_pad", 0))
    same = string_attribute(node, "auto_pad", "NOTSET").startswith("SAME")
    overhang = bool(integer_attribute(node, "ceil_mode", 0)) and not same
    pads = integer_attributes(node, "pads", [0, 0, 0, 0])
    unpadded = not any(pads) and not same
    if (unpadded or includes_pad) and not overhang:
        return build.constant(prefix, np.asarray(ones.size, np.float32))
    image = _ones_like_image(build, codes, prefix)
    if includes_pad and any(pads):
        # Padding counts, what ceil_mode reaches beyond it does not.
        amounts = build.constant(f"{prefix}.pads", np.array([0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]], np.int64))
        one = build.constant(f"{prefix}.one", np.asarray(1, np.float32))
        image = build.op("Pad", [image, amounts, one], f"{prefix}.padded", _FLOAT)
        pads = [0, 0, 0, 0]
    kernel = build.constant(f"{prefix}.ones", ones)
    strides = integer_attributes(node, "strides", [1, 1])
    attributes: dict[str, str | list[int]] = {
        "strides": strides,
        "dilations": integer_attributes(node, "dilations", [1, 1]),
    }
    if same:
        attributes |= {"auto_pad": string_attribute(node, "auto_pad", "")}
        return build.op("Conv", [image, kernel], prefix, _FLOAT, attributes)
    if overhang:
        # As many more places as make the last window that ceil_mode adds.
        pads = [pads[0], pads[1], pads[2] + strides[0] - 1, pads[3] + strides[1] - 1]
    return build.op("Conv", [image, kernel], prefix, _FLOAT, attributes | {"pads": pads})


def _ones_like_image(build: Builder, codes: ir.Value, prefix: str) -> ir.Value:
    """Return ones of shape [1, 1, H, W]."""
    size = _height_and_width(build, codes, f"{prefix}.size")
    lead = build.constant(f"{prefix}.lead", np.array([1, 1], np.int64))
    shape = build.op("Concat", [lead, size], f"{prefix}.shape", _INT64, {"axis": 0})
    one = build.constant(f"{prefix}.fill", np.asarray(1, np.float32))
    return build.op("Expand", [one, shape], f"{prefix}.image", _FLOAT)


def _height_and_width(build: Builder, value: ir.Value, prefix: str) -> ir.Value:
    shape = build.op("Shape", [value], f"{prefix}.shape", _INT64)
    start, end = (build.constant(f"{prefix}.{key}", np.array([n], np.int64)) for key, n in (("start", 2), ("end", 4)))
    return build.op("Slice", [shape, start, end], prefix, _INT64)


AVERAGE_POOL = Operator(
    op_type="AveragePool",
    why_not=_why_not,
    layout=lambda _node: OutputsFirst(),
    spatial=lambda node: len(_kernel(node)),
    cost=_cost,
    bias="none",
    unweighted=Unweighted(_ones, _mean, _RECOVERABLE_SUM),
)
