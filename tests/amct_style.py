"""A deploy file as AMCT writes it, made by hand from the description of its format; nothing of ``runner`` is used."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper


def int8(name: str, *shape: int) -> TensorProto:
    """Return int8 weights as raw data."""
    values = np.random.default_rng(len(name)).integers(-128, 128, shape).astype(np.int8)
    return helper.make_tensor(name, TensorProto.INT8, shape, values.tobytes(), raw=True)


def int32(name: str, count: int) -> TensorProto:
    """Return an int32 bias in int32_data."""
    return helper.make_tensor(name, TensorProto.INT32, [count], list(range(-1, count - 1)))


def parameter(layer: str, count: int) -> TensorProto:
    """Return ``count`` scales as float32 bits in the low halves of UINT64."""
    bits = [struct.unpack("<I", struct.pack("<f", 0.001 * (i + 1)))[0] for i in range(count)]
    return helper.make_tensor(f"{layer}.dequant.param", TensorProto.UINT64, [count], bits)


def quant(layer: str, source: str, scale: float = 12.5, offset: float = -3.0) -> NodeProto:
    return helper.make_node(
        "AscendQuant",
        [source],
        [f"{layer}.quant.output0"],
        f"{layer}.quant",
        scale=scale,
        offset=offset,
        dst_type="INT8",
    )


def dequant(layer: str, source: str, output: str) -> NodeProto:
    inputs = [source, f"{layer}.dequant.param"]
    return helper.make_node("AscendDequant", inputs, [output], f"{layer}.dequant", dtype=0)


def layer(kind: str, name: str, inputs: Sequence[str], **attributes: object) -> NodeProto:
    return helper.make_node(kind, [f"{name}.quant.output0", *inputs], [f"{name}.sums"], name, **attributes)


def amct_model() -> ModelProto:
    """Return one layer of each type, an Add of rounded tensors, and a pool with its own Pad."""
    nodes = [
        quant("conv", "x"),
        layer("Conv", "conv", ["conv.weight", "conv.bias"], pads=[1, 1, 1, 1]),
        dequant("conv", "conv.sums", "c"),
        quant("depthwise", "c"),
        layer("Conv", "depthwise", ["depthwise.weight"], group=4),
        dequant("depthwise", "depthwise.sums", "d"),
        quant("up", "d", offset=0.0),
        layer("ConvTranspose", "up", ["up.weight"], group=2, kernel_shape=[1, 1]),
        dequant("up", "up.sums", "u"),
        quant("add:0", "u", scale=4.0, offset=7.0),
        helper.make_node(
            "AscendAntiQuant", ["add:0.quant.output0"], ["u8"], "add.anti_quant", scale=0.25, offset=7.0, dtype=0
        ),
        helper.make_node("Add", ["u8", "d"], ["s"], "add"),
        quant("pool", "s", offset=5.0),
        helper.make_node("Pad", ["pool.quant.output0", "amounts", "five"], ["padded"], "pool_pad"),
        helper.make_node("AveragePool", ["padded"], ["pool.sums"], "pool", kernel_shape=[5, 5], strides=[5, 5]),
        dequant("pool", "pool.sums", "p"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        quant("head", "f"),
        layer("Gemm", "head", ["head.weight", "head.bias"]),
        dequant("head", "head.sums", "h"),
        quant("last", "h"),
        layer("MatMul", "last", ["last.weight"]),
        # AMCT adds a MatMul's bias to its sums.
        helper.make_node("Add", ["last.sums", "last.bias"], ["last.biased"], "last_bias"),
        dequant("last", "last.biased", "y"),
    ]
    tensors = [
        *(int8("conv.weight", 4, 3, 3, 3), int32("conv.bias", 4), parameter("conv", 4)),
        *(int8("depthwise.weight", 4, 1, 1, 1), parameter("depthwise", 1)),
        *(int8("up.weight", 4, 2, 1, 1), parameter("up", 4)),
        helper.make_tensor("amounts", TensorProto.INT64, [8], [0, 0, 0, 0, 0, 0, 1, 1]),
        helper.make_tensor("five", TensorProto.INT8, [], [5]),
        parameter("pool", 1),
        *(int8("head.weight", 4, 6), int32("head.bias", 6), parameter("head", 1)),
        *(int8("last.weight", 6, 2), int32("last.bias", 2), parameter("last", 1)),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        tensors,
    )
    return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])
