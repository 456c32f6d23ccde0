"""A transposed convolution as a plain one over an image with places between and around its values.

These places hold the code of zero, which is the offset, as the padding of a convolution does. The kernel is turned around and
its axes of input and output channels are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import integer_attributes
from runner.verify.padding import Fill, Window, fill_around, image_size, part

_INT8, _INT64 = ir.DataType.INT8, ir.DataType.INT64


def turned(weight: NDArray[np.int8], group: int) -> NDArray[np.int8]:
    """Return the kernel [Cout, Cin/group, k...] of the plain convolution for a stored [Cin, Cout/group, k...]."""
    inputs, outputs, *kernel = weight.shape
    rows = weight.reshape(group, inputs // group, outputs, *kernel).swapaxes(1, 2)
    rows = rows.reshape(group * outputs, inputs // group, *kernel)
    return np.ascontiguousarray(np.flip(rows, tuple(range(2, rows.ndim))))


def spread(build: Builder, x: ir.Value, node: ir.Node, view: Window, fill: Fill, prefix: str) -> ir.Value:
    """Return the image over which a plain convolution with the turned kernel is the transposed convolution of ``x``.

    Args:
        build: takes the nodes.
        x: codes [N, C, size...].
        node: the ConvTranspose.
        view: its window.
        fill: value of every place that holds no value of ``x``.
        prefix: of the nodes' names.
    """
    axes = len(view.kernel)
    more = np.array(integer_attributes(node, "output_padding", [0] * axes), np.int64)
    strides, reach = np.array(view.strides, np.int64), np.array(view.spans, np.int64) - 1
    wide = _with_gaps(build, x, view, fill, f"{prefix}.gaps") if np.any(strides > 1) else x
    # Around the image the kernel reaches as far as it is long; behind it the last gap is cut off, output_padding added.
    before, behind = reach, reach + more - (strides - 1)
    output_shape = integer_attributes(node, "output_shape", [])
    if not output_shape:
        begin, end = (np.array(view.begin, np.int64), np.array(view.end, np.int64))
        if view.same:
            begin, end = _halves(np.maximum(reach + 1 + more - strides, 0), view.auto)
        amounts = np.concatenate([[0, 0], before - begin, [0, 0], behind - end]).astype(np.int64)
        return fill_around(build, wide, build.constant(f"{prefix}.amounts", amounts), fill, prefix)
    # What output_shape cuts off depends on the image's own size.
    crop = _crop_to(build, x, view, more, output_shape[-axes:], f"{prefix}.crop")
    reaches = build.constant(f"{prefix}.reach", np.concatenate([before, behind]))
    edges = build.op("Sub", [reaches, crop], f"{prefix}.edges", _INT64)
    lead = build.constant(f"{prefix}.lead", np.zeros(2, np.int64))
    first, last = (part(build, edges, i * axes, (i + 1) * axes, f"{prefix}.edge{i}") for i in range(2))
    dynamic = build.op("Concat", [lead, first, lead, last], f"{prefix}.amounts", _INT64, {"axis": 0})
    return fill_around(build, wide, dynamic, fill, prefix)


def _with_gaps(build: Builder, x: ir.Value, view: Window, fill: Fill, prefix: str) -> ir.Value:
    """Return ``x`` with ``stride - 1`` places of ``fill`` behind each value.

    [N, C, H, W] -> [N, C, H, 1, W, 1] -> [N, C, H, s, W, s] -> [N, C, H * s, W * s]
    """
    axes = len(view.kernel)
    size = image_size(build, x, axes, f"{prefix}.size")
    one = build.constant(f"{prefix}.one", np.ones(1, np.int64))
    lead = build.constant(f"{prefix}.lead", np.zeros(2, np.int64))
    lengths = [part(build, size, axis, axis + 1, f"{prefix}.length{axis}") for axis in range(axes)]
    parts = [lead, *(value for length in lengths for value in (length, one))]
    columns = build.op("Concat", parts, f"{prefix}.apart", _INT64, {"axis": 0})
    apart = build.op("Reshape", [x, columns], f"{prefix}.columns", _INT8)
    behind = [0, 0, *(amount for stride in view.strides for amount in (0, stride - 1))]
    amounts = build.constant(f"{prefix}.behind", np.array([0] * len(behind) + behind, np.int64))
    filled = fill_around(build, apart, amounts, fill, f"{prefix}.filled")
    factor = build.constant(f"{prefix}.factor", np.array(view.strides, np.int64))
    grown = build.op("Mul", [size, factor], f"{prefix}.grown", _INT64)
    together = build.op("Concat", [lead, grown], f"{prefix}.together", _INT64, {"axis": 0})
    return build.op("Reshape", [filled, together], prefix, _INT8)


def _halves(total: NDArray[np.int64], auto: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what is cut off before and behind.

    Nothing is added where the full output is shorter than ``SAME`` would have it: so does onnxruntime.
    """
    less = total // 2
    rest = total - less
    return (less, rest) if auto == "SAME_UPPER" else (rest, less)


def _crop_to(
    build: Builder, x: ir.Value, view: Window, more: NDArray[np.int64], wanted: Sequence[int], prefix: str
) -> ir.Value:
    """Return how much ``output_shape`` cuts off the full output, int64: the begins, then the ends.

    What it asks for beyond the full output is added behind it: an end below 0.
    """
    size = image_size(build, x, len(wanted), f"{prefix}.size")
    factor = build.constant(f"{prefix}.factor", np.array(view.strides, np.int64))
    fixed = np.array(view.spans, np.int64) - view.strides + more - np.array(wanted, np.int64)
    grown = build.op("Mul", [size, factor], f"{prefix}.grown", _INT64)
    total = build.op("Add", [grown, build.constant(f"{prefix}.fixed", fixed)], f"{prefix}.total", _INT64)
    none, two = (build.constant(f"{prefix}.{k}", np.array([n], np.int64)) for k, n in (("none", 0), ("two", 2)))
    excess = build.op("Max", [total, none], f"{prefix}.excess", _INT64)
    begin = build.op("Div", [excess, two], f"{prefix}.less", _INT64)
    if view.auto != "SAME_UPPER":
        begin = build.op("Sub", [excess, begin], f"{prefix}.more", _INT64)
    end = build.op("Sub", [total, begin], f"{prefix}.end", _INT64)
    return build.op("Concat", [begin, end], prefix, _INT64, {"axis": 0})
