"""How often a window fits into an image, and what its padding does to it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from runner.graph.constants import integer_attribute, integer_attributes, string_attribute

CUTS = (
    "its strides are longer than its window, so that its auto_pad would cut the image instead of padding it, and ONNX does "
    "not say where. Export it with pads"
)


def sizes(value: ir.Value | None) -> Sequence[int | ir.SymbolicDim]:
    """Return the sizes of a value, () where not even their number is known."""
    return () if value is None or value.shape is None else value.shape.dims


def same_cuts(node: ir.Node, kernel: Sequence[int], harmless: int) -> bool:
    """Return whether ``auto_pad`` SAME may cut places off the beginning of the image that a window goes over.

    Strides that are longer than the window leave places over, as many as the difference at most. The first of them come off
    the end, where no window looks.

    Args:
        node: has the attributes.
        kernel: the window's size along each axis.
        harmless: places that may be cut off and yet a window starts where the image does, in onnxruntime as everywhere.
    """
    if not string_attribute(node, "auto_pad", "NOTSET").startswith("SAME"):
        return False
    axes = len(kernel)
    strides, dilations = (integer_attributes(node, key, [1] * axes) for key in ("strides", "dilations"))
    image = sizes(node.inputs[0])[2:]
    for axis, (stride, dilation, places) in enumerate(zip(strides, dilations, kernel, strict=True)):
        left_over = stride - dilation * (places - 1) - 1
        size = image[axis] if axis < len(image) else None
        if isinstance(size, int):
            left_over += size - -(-size // stride) * stride
        if left_over > harmless:
            return True
    return False


def windows(node: ir.Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """Return how often a kernel fits into each axis of the input."""
    rank = len(size)
    strides = integer_attributes(node, "strides", [1] * rank)
    dilations = integer_attributes(node, "dilations", [1] * rank)
    auto = string_attribute(node, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        return [-(-n // s) for n, s in zip(size, strides, strict=True)]
    pads = integer_attributes(node, "pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    ceil = bool(integer_attribute(node, "ceil_mode", 0))
    fitting = []
    for i, n in enumerate(size):
        room = n + pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) - 1
        count = (-(-room // strides[i]) if ceil else room // strides[i]) + 1
        # A window that would start in the padding at the end is not made.
        fitting.append(count - 1 if ceil and (count - 1) * strides[i] >= n + pads[i] else count)
    return fitting
