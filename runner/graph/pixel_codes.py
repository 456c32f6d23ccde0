"""Whole pixels: the first convolution reads an image's own levels as codes, and its weights do the normalization.

An image that was normalized, ``(pixel - mean) / std`` a channel, still holds 256 values a channel, but no scale and zero point
have codes for them: channels differ, or zero lies between two levels. So half a step is lost before the network begins. Here

    x -> Pad (the convolution's own, with zeros) -> Mul(1 / step) -> Add(-zero / step) -> Conv (weight times step, no padding)

makes 256 whole numbers of them around 0, that int8 holds exactly. In real numbers the model computes the same; what it does to
the float32 outputs is one rounding of the first weights and one of each pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import (
    add_initializer,
    constant,
    integer_attribute,
    integer_attributes,
    replace_constant,
    string_attribute,
)
from runner.graph.layers import LAYER_TYPES
from runner.graph.operators.conv import HARMLESS_CUT
from runner.graph.operators.windows import same_cuts
from runner.ranges import NUM_STEPS, Range

# The version of this stage's meaning: raise it when the same levels would give another model.
VERSION = 1

# Before opset 7 Mul and Add take operands of one shape; before 11 the padding is an attribute of Pad.
_BROADCASTING = 7
_PAD_TAKES_INPUTS = 11
# Of the weight of a convolution whose input may have any zero point.
_LARGEST_NDIM = 4


@dataclass(frozen=True, slots=True)
class Levels:
    """The values that an image's channels take: ``zero + k * step`` with 256 whole numbers k, the same of all channels.

    Attributes:
        zero: the value of k = 0, of each channel.
        step: between two levels, of each channel; positive.
        lowest: the first k, -255 to 0.
    """

    zero: tuple[float, ...]
    step: tuple[float, ...]
    lowest: int

    @property
    def range(self) -> Range:
        """What the convolution reads, of which every code is a level."""
        return Range(self.lowest, self.lowest + NUM_STEPS)


# By the name of the convolution that reads the image.
PixelCodes = Mapping[str, Levels]


@dataclass(frozen=True, slots=True)
class ImageReader:
    """A convolution that no other layer stands before, by names.

    Attributes:
        layer: its name.
        image: what it reads, before any padding, shape [N, channels, ...].
        channels: number of them.
    """

    layer: str
    image: str
    channels: int


def find_image_readers(model: ir.Model) -> tuple[ImageReader, ...]:
    """Return the convolutions that may read an image, in graph order.

    One whose padding depends on the size of the image is left out where that is not known, as is one over three axes, whose
    input has zero point 0, and one whose input another layer reads too: they would no longer share its codes.
    """
    if model.opset_imports.get("", 0) < _BROADCASTING:
        return ()
    readers = []
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if source is None or not _is_plain_convolution(node) or _pads(node) is None or _behind_a_layer(source):
            continue
        if sum(user.op_type in LAYER_TYPES for user in source.consumers()) == 1:
            readers.append(ImageReader(node.name or "", _before_padding(source).name or "", _channels(node)))
    return tuple(readers)


def with_whole_pixels(model: ir.Model, pixels: PixelCodes) -> ir.Model:
    """Return a copy whose first convolutions read whole numbers; it computes the same.

    Args:
        model: a prepared float model.
        pixels: the levels of what convolutions read, by their names.

    Raises:
        ValueError: no convolution of that name reads an image, or one with another number of channels.
    """
    copy = model.clone()
    readers = {reader.layer: reader for reader in find_image_readers(copy)}
    nodes = {node.name: node for node in copy.graph}
    for name, levels in pixels.items():
        reader = readers.get(name)
        if reader is None or reader.channels != len(levels.step):
            raise ValueError(f"layer '{name}' is no convolution that reads an image of {len(levels.step)} channels")
        _rewrite(copy, nodes[name], levels)
    return copy


def _rewrite(model: ir.Model, conv: ir.Node, levels: Levels) -> None:
    graph, name = model.graph, f"{conv.name}.pixels"
    step, zero = np.asarray(levels.step, np.float64), np.asarray(levels.zero, np.float64)
    weight = _weight(conv).astype(np.float64)
    axes = [1] * (weight.ndim - 2)
    group = integer_attribute(conv, "group", 1)
    by_row = (np.repeat(values.reshape(group, -1), len(weight) // group, axis=0) for values in (step, zero))
    steps, zeros = (values.reshape(*values.shape, *axes) for values in by_row)
    bias = constant(conv.inputs[2]) if len(conv.inputs) > 2 else None
    shifted = (0.0 if bias is None else np.asarray(bias, np.float64)) + (weight * zeros).reshape(len(weight), -1).sum(1)
    build = Builder()
    x = conv.inputs[0]
    assert x is not None  # it reads an image
    pads = _pads(conv)
    if pads is not None and any(pads):
        x = _padded(build, x, pads, f"{name}.pad", model.opset_imports[""])
    for op, factor in (("Mul", 1 / step), ("Add", -zero / step)):
        values = factor.astype(np.float32).reshape(1, -1, *axes)
        node = f"{name}.{op.lower()}"
        x = build.op(op, [x, build.constant(f"{node}.by", values)], node, ir.DataType.FLOAT)
    build.register(graph)
    graph.insert_before(conv, build.nodes)
    conv.replace_input_with(0, x)
    replace_constant(graph, conv, 1, (weight * steps).astype(np.float32))
    if bias is None:
        added = add_initializer(graph, f"{conv.name}.bias", shifted.astype(np.float32))
        conv.resize_inputs(3)
        conv.replace_input_with(2, added)
    else:
        replace_constant(graph, conv, 2, shifted.astype(np.float32))
    conv.attributes.pop("auto_pad", None)
    conv.attributes["pads"] = ir.AttrInt64s("pads", [0] * (2 * len(axes)))


def _padded(build: Builder, x: ir.Value, pads: list[int], name: str, opset: int) -> ir.Value:
    """Return ``x`` with zeros around its places; ``pads`` as a convolution has them."""
    half = len(pads) // 2
    around = [0, 0, *pads[:half], 0, 0, *pads[half:]]
    if opset < _PAD_TAKES_INPUTS:
        return build.op("Pad", [x], name, ir.DataType.FLOAT, {"pads": around})
    return build.op("Pad", [x, build.constant(f"{name}.pads", np.asarray(around, np.int64))], name, ir.DataType.FLOAT)


def _is_plain_convolution(node: ir.Node) -> bool:
    if node.op_type != "Conv" or node.domain != "":
        return False
    weight = constant(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or not weight.size or weight.ndim > _LARGEST_NDIM:
        return False
    if same_cuts(node, weight.shape[2:], HARMLESS_CUT):
        return False
    return len(node.inputs) < 3 or node.inputs[2] is None or constant(node.inputs[2]) is not None


def _behind_a_layer(value: ir.Value) -> bool:
    """Return whether a layer, or anything that holds nodes of its own, stands before ``value``."""
    seen: set[ir.Node] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop().producer()
        if node is None or node in seen:
            continue
        seen.add(node)
        inner = any(attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values())
        if node.op_type in LAYER_TYPES or inner:
            return True
        waiting += [value for value in node.inputs if value is not None]
    return False


def _before_padding(value: ir.Value) -> ir.Value:
    """Return what a Pad with zeros pads: zeros need not lie on the levels of an image."""
    node = value.producer()
    if node is None or node.op_type != "Pad" or string_attribute(node, "mode", "constant") != "constant":
        return value
    filled = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    held = node.attributes.get("value")
    if (filled is not None and np.any(filled)) or (held is not None and held.as_float() != 0):
        return value
    source = node.inputs[0]
    assert source is not None  # a Pad reads something
    return source


def _pads(conv: ir.Node) -> list[int] | None:
    """Return a convolution's padding, beginnings before ends; None where it depends on a size that is not known."""
    weight = _weight(conv)
    axes = weight.ndim - 2
    auto = string_attribute(conv, "auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * (2 * axes)
    if auto == "NOTSET":
        return integer_attributes(conv, "pads", [0] * (2 * axes))
    shape = conv.inputs[0].shape if conv.inputs[0] is not None else None
    sizes = [] if shape is None else [size for size in shape.dims[2:] if isinstance(size, int)]
    if len(sizes) != axes:
        return None
    strides, dilations = (integer_attributes(conv, key, [1] * axes) for key in ("strides", "dilations"))
    wholes = [
        max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
        for size, stride, kernel, dilation in zip(sizes, strides, weight.shape[2:], dilations, strict=True)
    ]
    smaller = [whole // 2 for whole in wholes]
    larger = [whole - whole // 2 for whole in wholes]
    return [*smaller, *larger] if auto == "SAME_UPPER" else [*larger, *smaller]


def _weight(conv: ir.Node) -> NDArray[np.float32]:
    weight = constant(conv.inputs[1])
    assert weight is not None  # of a plain convolution
    return np.asarray(weight, np.float32)


def _channels(conv: ir.Node) -> int:
    return int(_weight(conv).shape[1]) * integer_attribute(conv, "group", 1)
