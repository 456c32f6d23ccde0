"""What a Q/DQ model says and computes, read from its file alone: nothing here comes from ``runner``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tests import device

Array = NDArray[Any]
_CARRYING = (
    *("MaxPool", "Flatten", "Relu", "Dropout", "Gather", "Slice", "Transpose", "Resize", "Pad", "Concat", "Clip"),
)
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")


@dataclass(frozen=True)
class Constant:
    """A dequantized constant: ``q - zero_point``, and scales that broadcast to it."""

    integers: Array
    scales: Array
    dtype: str


class Source:
    """A model file, node by node."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.maker = {output: node for node in self.nodes for output in node.output}
        self.arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.layers = [node for node in self.nodes if node.op_type in LAYERS]
        self.rounding = [n.name for n in self.nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear")]

    def array(self, name: str) -> Array | None:
        """Return a stored constant; None for anything computed."""
        if name in self.arrays:
            return self.arrays[name]
        node = self.maker.get(name)
        if node is None or node.op_type not in ("Identity", "Constant"):
            return None
        return self.array(node.input[0]) if node.op_type == "Identity" else attribute(node, "value")

    def parameters(self, node: onnx.NodeProto) -> tuple[Array, Array]:
        """Return the scale and zero point of a QuantizeLinear or DequantizeLinear."""
        scale = self.array(node.input[1])
        assert scale is not None
        if len(node.input) > 2:
            zero_point = self.array(node.input[2])
            assert zero_point is not None
            return scale, zero_point
        codes = self.array(node.input[0])
        maker = self.maker.get(node.input[0])
        if codes is not None:
            return scale, np.zeros(scale.shape, codes.dtype)
        if node.op_type == "DequantizeLinear" and maker is not None:
            return scale, self.parameters(maker)[1]
        signed = attribute(node, "output_dtype") == onnx.TensorProto.INT8
        return scale, np.zeros(scale.shape, np.int8 if signed else np.uint8)

    def constant(self, name: str) -> Constant | None:
        """Return what a DequantizeLinear makes of stored or rounded constants; None for an activation."""
        node = self.maker.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return None
        scale, zero_point = self.parameters(node)
        codes, limits = self.array(node.input[0]), None
        before = self.maker.get(node.input[0])
        if codes is None and before is not None and before.op_type == "Clip":
            limits = [self.array(before.input[i]) for i in (1, 2)]
            before = self.maker[before.input[0]]
        real = self.array(before.input[0]) if codes is None and before is not None else None
        if codes is None and real is None:
            return None
        shape = (codes if real is None else real).shape  # type: ignore[union-attr]
        scale, zero_point = (_along(a, len(shape), attribute(node, "axis")) for a in (scale, zero_point))
        if real is not None:
            low, high = np.iinfo(zero_point.dtype).min, np.iinfo(zero_point.dtype).max
            codes = np.clip(np.round((real / scale).astype(np.float32)) + zero_point.astype(np.float64), low, high)
            codes = codes if limits is None else np.clip(codes, *limits)
        assert codes is not None
        kind = str(zero_point.dtype)
        return Constant(codes.astype(np.int64) - zero_point.astype(np.int64), np.broadcast_to(scale, shape), kind)

    def pair(self, name: str) -> onnx.NodeProto | None:
        """Return the DequantizeLinear that rounds a layer's input, in front of it or of what moves and picks values."""
        node = self.maker.get(name)
        while node is not None and node.op_type in _CARRYING:
            # The parts of a Concat in front of a layer are rounded alike.
            node = self.maker.get(node.input[0])
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def activation(self, dequantize: onnx.NodeProto) -> tuple[float, int]:
        """Return scale_d and the zero point in int8."""
        scale, zero_point = self.parameters(dequantize)
        return float(scale), int(zero_point) - (128 if zero_point.dtype == np.uint8 else 0)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value, a tensor as an array."""
    for item in node.attribute:
        if item.name == name:
            value = onnx.helper.get_attribute_value(item)
            return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    return default


def _along(array: Array, rank: int, axis: int | None) -> Array:
    if array.ndim == 0:
        return array
    shape = [1] * rank
    shape[1 if axis is None else axis] = -1
    return array.reshape(shape)


@dataclass(frozen=True)
class Integers:
    """A layer's integers [layout of the device's operator], its weight scales, and its bias in int32."""

    weight: Array
    scales: tuple[float, ...]
    bias: Array | None


def evaluate(source: Source, layers: Mapping[str, Integers], x: Array) -> Array:
    """Return ``y`` as the device computes it: layers and inputs of Adds rounded, everything else in float.

    A pair that is not applied does not round, but saturates as in the source.

    Args:
        source: the model.
        layers: by name.
        x: the input.
    """
    return _Evaluation(source, layers, {"x": x}).rounded("y")


def _sliced(x: Array, starts: Array, ends: Array, axes: Array, steps: Array | None = None) -> Array:
    (start,), (end,), (axis,) = (values.tolist() for values in (starts, ends, axes))
    assert (start, end) == (0, 4) if steps is None else (start, end) == (-1, -5)
    return np.asarray(np.take(x, range(4) if steps is None else range(x.shape[axis])[::-1], axis=axis))


# What the generator of graphs writes of each operator, and no more.
_MOVING: Mapping[str, Callable[..., Array]] = {
    "Dropout": lambda x: x,
    "Gather": lambda x, order: np.take(x, order, axis=1),
    "Slice": _sliced,
    "Transpose": lambda x: x.swapaxes(2, 3),
    "Resize": lambda x, roi, scales: x.repeat(2, axis=2).repeat(2, axis=3),
    "Pad": lambda x, pads: np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 0)]),
    "Clip": lambda x, low, high: np.clip(x, low, high),
}


@dataclass
class _Evaluation:
    source: Source
    layers: Mapping[str, Integers]
    known: dict[str, Array]

    def value(self, name: str) -> Array:
        if name not in self.known:
            self.known[name] = self.computed(self.source.maker[name])
        return self.known[name]

    def rounded(self, name: str) -> Array:
        """Return the value of an Add's input or of the output: rounded where it comes straight from a pair."""
        node = self.source.maker.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return self.value(name)
        scale, offset = self.source.activation(node)
        codes = device.centred(self.value(name), scale, offset)
        return np.asarray(codes.astype(np.float32) * np.float32(scale), np.float32)

    def computed(self, node: onnx.NodeProto) -> Array:
        if node.op_type in LAYERS:
            return self.layer(node)
        if node.op_type == "DequantizeLinear":
            return self.unrounded(node)
        if node.op_type == "Add":
            return np.asarray(self.rounded(node.input[0]) + self.rounded(node.input[1]))
        if node.op_type in _MOVING:
            constants = [self.source.array(name) if name else None for name in node.input[1:]]
            return np.asarray(_MOVING[node.op_type](self.value(node.input[0]), *constants))
        values = [self.value(name) for name in node.input]
        if node.op_type == "Concat":
            return np.concatenate(values, axis=1)
        if node.op_type == "Relu":
            return np.maximum(values[0], 0)
        if node.op_type == "Flatten":
            return values[0].reshape(values[0].shape[0], -1)
        assert node.op_type == "MaxPool"
        n, c, h, w = values[0].shape
        return np.asarray(values[0].reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5)))

    def unrounded(self, node: onnx.NodeProto) -> Array:
        """Return the value in front of a pair, within its limits."""
        value = self.value(self.source.maker[node.input[0]].input[0])
        scale, zero_point = self.source.parameters(node)
        ends = (int(np.iinfo(zero_point.dtype).min), int(np.iinfo(zero_point.dtype).max))
        low, high = (np.float32(end - int(zero_point)) * np.float32(scale) for end in ends)
        return np.clip(value, low, high)

    def layer(self, node: onnx.NodeProto) -> Array:
        dequantize, integers = self.source.pair(node.input[0]), self.layers[node.name]
        assert dequantize is not None
        scale, offset = self.source.activation(dequantize)
        codes = device.centred(self.value(node.input[0]), scale, offset)
        pads, group = attribute(node, "pads", [0] * 4), attribute(node, "group", 1)
        if node.op_type == "AveragePool":
            kernel, strides = attribute(node, "kernel_shape"), attribute(node, "strides", [1, 1])
            include_pad = bool(attribute(node, "count_include_pad", 0))
            mean = device.average(codes, scale, kernel=kernel, strides=strides, pads=pads, include_pad=include_pad)
            return np.asarray(mean)
        if node.op_type in ("Conv", "ConvTranspose"):
            convolve = device.conv if node.op_type == "Conv" else device.conv_transposed
            sums = convolve(codes, integers.weight, integers.bias, pads=pads, group=group)
            return np.asarray(device.real(sums, scale, integers.scales, 1))
        sums = device.matmul(codes, integers.weight, integers.bias)
        return np.asarray(device.real(sums, scale, integers.scales, -1))
