"""Padding made explicit: of codes, the places around an image hold the code of zero, which is the offset.

The number of places follows ONNX: ``pads``, or for ``auto_pad`` from the image's own size, which the graph looks up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute, integer_attributes, string_attribute

_FLOAT, _INT64 = ir.DataType.FLOAT, ir.DataType.INT64
# What stands in padding, in the type of the image: an int8 code, or a float.
Fill = np.int8 | np.float32


@dataclass(frozen=True, slots=True)
class Window:
    """The attributes of a convolution or pooling, an entry an axis.

    Attributes:
        kernel: places of the kernel.
        strides: steps of the window.
        dilations: steps inside the window.
        begin: places of padding before the image.
        end: places of padding behind it.
        auto: ``NOTSET``, ``VALID``, ``SAME_UPPER`` or ``SAME_LOWER``; only SAME leaves ``begin`` and ``end`` open.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    auto: str

    @property
    def spans(self) -> tuple[int, ...]:
        """Places of the image from a kernel's first to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def same(self) -> bool:
        """Whether the padding depends on the image's size."""
        return self.auto.startswith("SAME")

    @property
    def pads(self) -> bool:
        """Whether there is any padding."""
        return self.same or any((*self.begin, *self.end))


def window(node: ir.Node, kernel: Sequence[int]) -> Window:
    """Return a node's window; ``kernel`` is its size, one entry an axis."""
    axes = len(kernel)
    auto = string_attribute(node, "auto_pad", "NOTSET")
    none = [0] * 2 * axes
    pads = integer_attributes(node, "pads", none) if auto == "NOTSET" else none
    return Window(
        tuple(kernel),
        tuple(integer_attributes(node, "strides", [1] * axes)),
        tuple(integer_attributes(node, "dilations", [1] * axes)),
        tuple(pads[:axes]),
        tuple(pads[axes:]),
        auto,
    )


def padded(build: Builder, x: ir.Value, view: Window, fill: Fill, prefix: str, *, overhang: bool = False) -> ir.Value:
    """Return ``x`` [N, C, size...] with its padding filled in, so that the window needs none.

    Args:
        build: takes the nodes.
        x: of the type of ``fill``.
        view: the window that will slide over it.
        fill: value of the padding.
        prefix: of the nodes' names.
        overhang: as many more places behind the image as make the last window that ``ceil_mode`` adds.
    """
    if view.same:
        return fill_around(build, x, _same(build, x, view, f"{prefix}.pads"), fill, prefix)
    end = tuple(e + s - 1 for e, s in zip(view.end, view.strides, strict=True)) if overhang else view.end
    if not any((*view.begin, *end)):
        return x
    amounts = build.constant(f"{prefix}.pads", np.array([0, 0, *view.begin, 0, 0, *end], np.int64))
    return fill_around(build, x, amounts, fill, prefix)


def counted(build: Builder, x: ir.Value, node: ir.Node, kernel: Sequence[int], prefix: str) -> ir.Value:
    """Return how many values each window of an AveragePool of codes ``x`` counts: a scalar, or [1, 1, size...] floats."""
    view = window(node, kernel)
    overhang, includes = has_overhang(node, view), bool(integer_attribute(node, "count_include_pad", 0))
    if not overhang and (includes or not view.pads):
        return build.constant(prefix, np.asarray(np.prod(view.kernel), np.float32))
    image = _ones(build, x, prefix)
    if overhang and includes:
        # Padding counts; what ceil_mode reaches beyond it does not.
        image = padded(build, image, view, np.float32(1), f"{prefix}.counted")
        view = replace(view, begin=(0,) * len(kernel), end=(0,) * len(kernel))
    fill = np.float32(includes and not overhang)
    image = padded(build, image, view, fill, f"{prefix}.padded", overhang=overhang)
    ones = build.constant(f"{prefix}.kernel", np.ones((1, 1, *view.kernel), np.float32))
    attributes = {"strides": list(view.strides), "dilations": list(view.dilations)}
    return build.op("Conv", [image, ones], prefix, _FLOAT, dict(attributes))


def has_overhang(node: ir.Node, view: Window) -> bool:
    """Return whether ``ceil_mode`` may add a window that reaches beyond the padding."""
    return bool(integer_attribute(node, "ceil_mode", 0)) and not view.same


def fill_around(build: Builder, x: ir.Value, amounts: ir.Value, fill: Fill, prefix: str) -> ir.Value:
    """Return ``x`` with so many places of ``fill`` around it, int64 as Pad takes them; below 0 it is cut."""
    value = build.constant(f"{prefix}.fill", np.asarray(fill))
    return build.op("Pad", [x, amounts, value], prefix, ir.DataType.from_numpy(fill.dtype))


def image_size(build: Builder, x: ir.Value, axes: int, prefix: str) -> ir.Value:
    """Return the size of ``x`` without its first two axes, int64 of shape (axes,)."""
    return part(build, build.op("Shape", [x], f"{prefix}.shape", _INT64), 2, 2 + axes, prefix)


def part(build: Builder, vector: ir.Value, start: int, end: int, prefix: str) -> ir.Value:
    """Return the entries from ``start`` to before ``end`` of an int64 vector."""
    bounds = [build.constant(f"{prefix}.{k}", np.array([n], np.int64)) for k, n in (("start", start), ("end", end))]
    return build.op("Slice", [vector, *bounds], prefix, _INT64)


def _same(build: Builder, x: ir.Value, view: Window, prefix: str) -> ir.Value:
    """Return the amounts that SAME means: ``ceil(size / stride)`` windows, an odd place at the end that UPPER or LOWER says."""
    size = image_size(build, x, len(view.kernel), f"{prefix}.size")

    def vector(name: str, values: Sequence[int]) -> ir.Value:
        return build.constant(f"{prefix}.{name}", np.array(values, np.int64))

    strides = vector("strides", view.strides)
    raised = build.op("Add", [size, vector("round", [s - 1 for s in view.strides])], f"{prefix}.raised", _INT64)
    windows = build.op("Div", [raised, strides], f"{prefix}.windows", _INT64)
    covered = build.op("Mul", [windows, strides], f"{prefix}.covered", _INT64)
    beyond = vector("beyond", [span - stride for span, stride in zip(view.spans, view.strides, strict=True)])
    needed = build.op("Add", [covered, beyond], f"{prefix}.needed", _INT64)
    missing = build.op("Sub", [needed, size], f"{prefix}.missing", _INT64)
    total = build.op("Max", [missing, vector("none", [0])], f"{prefix}.total", _INT64)
    less = build.op("Div", [total, vector("two", [2])], f"{prefix}.less", _INT64)
    rest = build.op("Sub", [total, less], f"{prefix}.rest", _INT64)
    begin, end = (less, rest) if view.auto == "SAME_UPPER" else (rest, less)
    lead = vector("lead", [0, 0])
    return build.op("Concat", [lead, begin, lead, end], prefix, _INT64, {"axis": 0})


def _ones(build: Builder, x: ir.Value, prefix: str) -> ir.Value:
    """Return float ones of shape [1, 1, size...] for codes ``x`` [N, C, size...]."""
    bounds = [build.constant(f"{prefix}.{k}", np.array(v, np.int64)) for k, v in (("from", [0, 0]), ("to", [1, 1]))]
    plane = build.cast(build.op("Slice", [x, *bounds], f"{prefix}.plane", ir.DataType.INT8), _FLOAT, f"{prefix}.floats")
    nothing, one = (build.constant(f"{prefix}.{n}", np.asarray(n, np.float32)) for n in (0, 1))
    zeros = build.op("Mul", [plane, nothing], f"{prefix}.zeros", _FLOAT)
    return build.op("Add", [zeros, one], f"{prefix}.ones", _FLOAT)
