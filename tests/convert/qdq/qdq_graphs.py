"""Random small Q/DQ models, as Hypothesis draws them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

F, U8, I8, I32 = np.float32, np.uint8, np.int8, np.int32
Draw = st.DrawFn


@dataclass
class _Graph:
    """A model under construction."""

    draw: Draw
    opset: int
    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    # Weights by shape, operator and layout, so that a later layer of the same kind can share one.
    weights: dict[tuple[Any, ...], tuple[str, NDArray[Any]]] = field(default_factory=dict)

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def op(self, op_type: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node and return its output; its name has brackets and slashes, as real ones have."""
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [f"{name}.y"], name=f"net[0]/{name}", **attributes))
        return f"{name}.y"

    def store(self, array: Any) -> str:
        """Return the name of a constant: an initializer, behind an Identity at times, or a Constant node."""
        how = self.choose("initializer", "initializer", "initializer", "identity", "constant")
        array = np.asarray(array)
        if how == "constant":
            return self.op("Constant", [], value=numpy_helper.from_array(array))
        name = f"a{len(self.arrays)}"
        self.arrays[name] = array
        return self.op("Identity", [name]) if how == "identity" else name

    def pair(self, value: str) -> str:
        """Return a value rounded by a QuantizeLinear and a DequantizeLinear."""
        dtype = self.choose(U8, I8)
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        zero_point = self.choose(low, low + 128, low + 120, low + 151, high)
        scale = self.store(F(self.draw(st.integers(8, 40)) / 1000))
        operands = [scale, self.store(dtype(zero_point))]
        attributes = {}
        if zero_point == 0 and dtype is U8:
            operands = self.choose(operands, [scale])
        elif zero_point == 0 and self.opset >= 21 and self.choose(True, False):
            operands, attributes = [scale], {"output_dtype": onnx.TensorProto.INT8}
        codes = self.op("QuantizeLinear", [value, *operands], **attributes)
        return self.op("DequantizeLinear", [codes, *operands])

    def equal_pair(self, rounded: str) -> str:
        """Return what a pair of its own with the same scale and zero point makes of the value that was rounded."""
        makers = {output: node for node in self.nodes for output in node.output}
        second = makers[rounded]
        first = makers[second.input[0]]
        attributes = {item.name: helper.get_attribute_value(item) for item in first.attribute}
        codes = self.op("QuantizeLinear", list(first.input), **attributes)
        return self.op("DequantizeLinear", [codes, *second.input[1:]])

    def weight(self, shape: tuple[int, ...], axis: int, fan_in: int) -> tuple[str, NDArray[Any]]:
        """Return a dequantized weight and its scales, shape () or (channels,)."""
        per_channel = self.opset >= 13 and self.choose(True, False)
        dtype = self.choose(I8, I8, U8)
        middle = 0 if dtype is I8 else 128
        zero_point = middle + (self.choose(0, 0, 0, -28, 13) if per_channel or self.choose(True, False) else 0)
        base = 1 / (74 * np.sqrt(fan_in))
        count = (shape[axis],) if per_channel else ()
        scale = np.asarray(base * self.rng.uniform(0.6, 1.4, count), F)
        zero_points = np.full(count, zero_point, dtype)
        attributes = {"axis": axis} if per_channel else {}
        operands = [self.store(scale)]
        if middle != zero_point or dtype is U8 or self.choose(True, False):
            operands.append(self.store(zero_points))
        if self.choose("integers", "integers", "float") == "integers":
            spread = self.choose(128, 90)  # 90 leaves room for a zero point
            integers = np.clip(self.rng.integers(-spread, spread, shape) + zero_point, *_limits(dtype))
            codes = self.store(integers.astype(dtype))
        else:
            # QuantizeLinear takes uint8 where there is no zero point.
            operands = operands if len(operands) > 1 else [*operands, self.store(zero_points)]
            real = self.rng.normal(0, 60 * base, shape).astype(F)
            codes = self.op("QuantizeLinear", [self.store(real), *operands], **attributes)
            if self.opset >= 13 and dtype is I8 and self.choose(True, False):  # as Brevitas writes narrow ranges
                codes = self.op("Clip", [codes, self.store(I8(-127)), self.store(I8(127))])
        return self.op("DequantizeLinear", [codes, *operands], **attributes), scale

    def bias(self, channels: int, data: str, scales: NDArray[Any], *, needed: bool) -> list[str]:
        """Return no bias, a float one, or one in int32, in units of the layer or of another."""
        how = self.choose(*(() if needed else ("none",)), "float", "int32", "other int32")
        if how == "none":
            return []
        if how == "float":
            return [self.store(self.rng.normal(0, 0.5, channels).astype(F))]
        step = np.asarray(F(self.scale_of(data)) * scales * F(1 if how == "int32" else 1.37), F)
        attributes = {"axis": 0} if step.ndim else {}
        integers = np.rint(self.rng.normal(0, 0.5, channels) / step).astype(I32)
        return [self.op("DequantizeLinear", [self.store(integers), self.store(step)], **attributes)]

    def scale_of(self, data: str) -> float:
        """Return the scale of the DequantizeLinear that a value comes from, behind pools and the like."""
        makers = {output: node for node in self.nodes for output in node.output}
        node = makers[data]
        while node.op_type != "DequantizeLinear":
            node = makers[node.input[0]]
        stored = node.input[1]
        while stored not in self.arrays:
            if makers[stored].op_type == "Constant":
                return float(numpy_helper.to_array(makers[stored].attribute[0].t))
            stored = makers[stored].input[0]
        return float(self.arrays[stored])


def carried(graph: _Graph, data: str, width: int, again: Any) -> tuple[str, int]:
    """Return a rounded value [2, width, 4, 4] behind operators that rounding commutes with, and its channels.

    Args:
        graph: to add to.
        data: the value.
        width: its channels.
        again: gives another value that the same pair made.
    """

    def integers(*values: int) -> str:
        return graph.store(np.array(values, np.int64))

    kind = graph.choose(
        "none", "none", "none", "dropout", "gather", "slice", "transpose", "resize", "pad", "concat", "clip"
    )
    if kind == "dropout":
        return graph.op("Dropout", [data]), width
    if kind == "gather":
        order = [int(n) for n in graph.rng.integers(0, width, width)]
        return graph.op("Gather", [data, integers(*order)], axis=1), width
    if kind == "slice":
        return graph.op("Slice", [data, *map(integers, (-1, -5, 3, -1))]), width
    if kind == "transpose":
        return graph.op("Transpose", [data], perm=[0, 1, 3, 2]), width
    if kind == "resize" and graph.opset >= 13:
        twice = graph.store(np.array([1, 1, 2, 2], F))
        wide = graph.op("Resize", [data, "", twice], mode="nearest", coordinate_transformation_mode="asymmetric")
        return graph.op("MaxPool", [wide], kernel_shape=[2, 2], strides=[2, 2]), width
    if kind == "pad" and graph.opset >= 11:
        padded = graph.op("Pad", [data, integers(0, 0, 1, 0, 0, 0, 0, 0)])
        return graph.op("Slice", [padded, *map(integers, (0, 4, 2))]), width
    if kind == "concat" and width <= 6:
        return graph.op("Concat", [data, again()], axis=1), 2 * width
    if kind == "clip" and graph.opset >= 11:
        # Limits of the grid: 3 steps below and 20 above zero.
        step = graph.scale_of(data)
        return graph.op("Clip", [data, graph.store(F(-3 * F(step))), graph.store(F(20 * F(step)))]), width
    return data, width


def _limits(dtype: Any) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


@st.composite
def qdq_models(draw: Draw) -> onnx.ModelProto:
    """Chains, residual Adds and Concats of quantized layers of every type over ``x`` [2, C, 4, 4], output ``y``."""
    opset = draw(st.integers(10, 23))
    graph = _Graph(draw, opset, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    channels = draw(st.sampled_from([2, 4, 6]))
    first = ("x", channels)
    # Values of 4 x 4 with their channels, and the rounded forms that already exist.
    values, rounded = [first], {}

    def quantized(value: str) -> str:
        if value not in rounded or draw(st.integers(0, 3)) == 0:
            rounded[value] = graph.pair(value)
        return str(rounded[value])

    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "depthwise", "grouped", "transposed", "average", "add", "concat"]))
        value, width = values[-1]
        alike = [v for v, w in values[:-1] if w == width]
        if kind == "add" and alike:
            operands = [value, draw(st.sampled_from(alike))]
            operands = [quantized(v) if draw(st.integers(0, 3)) else v for v in operands]
            values.append((graph.op("Add", operands), width))
        elif kind == "concat" and len(values) > 1:
            other, more = draw(st.sampled_from(values[:-1]))
            operands = [quantized(v) if draw(st.integers(0, 3)) else v for v in (value, other)]
            values.append((graph.op("Concat", operands, axis=1), width + more))
        else:
            data = quantized(value)
            data, width = carried(graph, data, width, lambda data=data: graph.equal_pair(data))
            if kind == "average":
                values.append((_average(graph, data), width))
                continue
            made, width = _convolution(graph, kind, data, width)
            values.append((graph.op("Relu", [made]) if draw(st.booleans()) else made, width))
    output = _head(graph, values[-1], quantized)
    if draw(st.integers(0, 3)) == 0:
        output = graph.pair(output)
    graph.nodes[-1].output[0] = "y"
    initializers = [numpy_helper.from_array(array, name) for name, array in graph.arrays.items()]
    axes = ["n", "c"] if any(node.op_type == "Flatten" for node in graph.nodes) else ["n", "c", "h", "w"]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, channels, 4, 4])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, axes)]
    body = helper.make_graph(graph.nodes, "g", inputs, outputs, initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _convolution(graph: _Graph, kind: str, data: str, width: int) -> tuple[str, int]:
    transposed = kind == "transposed"
    group = graph.choose(1, 2, width) if transposed else {"depthwise": width, "grouped": 2}.get(kind, 1)
    made = width if group == width else graph.choose(2, 4, width)
    size = graph.choose(1, 3)
    shape = (width, made // group, size, size) if transposed else (made, width // group, size, size)
    operator = "ConvTranspose" if transposed else "Conv"
    key = (operator, shape)
    if key not in graph.weights or graph.choose(True, False):
        graph.weights[key] = graph.weight(shape, int(transposed), (width // group) * size * size)
    weight, scales = graph.weights[key]
    # The groups of a ConvTranspose share their scales.
    every = np.tile(scales, group) if transposed and scales.ndim else scales
    bias = graph.bias(made, data, every, needed=False)
    return graph.op(operator, [data, weight, *bias], group=group, pads=[size // 2] * 4), made


def _average(graph: _Graph, data: str) -> str:
    """Return an average over windows that keep the size."""
    size, pads = graph.choose((3, [1, 1, 1, 1]), (2, [0, 0, 1, 1]), (1, [0, 0, 0, 0]))
    counts, ceil = graph.choose(0, 1), graph.choose(0, 1)
    return graph.op("AveragePool", [data], kernel_shape=[size] * 2, pads=pads, count_include_pad=counts, ceil_mode=ceil)


def _head(graph: _Graph, last: tuple[str, int], quantized: Any) -> str:
    """Return what ends the model: one more convolution, Gemm or MatMul, over pools and Flatten."""
    value, width = last
    kind = graph.choose("conv", "gemm", "matmul")
    if kind == "conv":
        return _convolution(graph, kind, quantized(value), width)[0]
    data, inputs = quantized(value), width * 16
    if graph.choose(True, False):
        pool = graph.choose("MaxPool", "AveragePool")
        data, inputs = graph.op(pool, [data], kernel_shape=[2, 2], strides=[2, 2]), width * 4
        data = graph.pair(data) if pool == "AveragePool" else data
    data = graph.op("Flatten", [data])
    if graph.choose(True, False):
        data = graph.pair(data)
    turned = kind == "gemm" and graph.choose(True, False)
    shape = (5, inputs) if turned else (inputs, 5)
    weight, scales = graph.weight(shape, 0 if turned else 1, inputs)
    if kind == "matmul":
        return graph.op("MatMul", [data, weight])
    return graph.op("Gemm", [data, weight, *graph.bias(5, data, scales, needed=graph.opset < 11)], transB=int(turned))
