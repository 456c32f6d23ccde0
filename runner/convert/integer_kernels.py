"""A layer's sums by onnxruntime's integer operators, where this machine's are exact and fast.

ConvInteger and MatMulInteger multiply uint8 by int8 in one instruction on CPUs with VNNI, or ARM's dot product: two to four
times the speed of a float convolution over the same integers, and the same int32 sums. The uint8 side has to be the left
one, which is the weight of a ConvInteger and the activation of a MatMulInteger; it is shifted by 128, and so is its zero point.

CPUs without it take an instruction that adds two products in 16 bits and saturates (vpmaddubsw). Which one onnxruntime takes
is not to be asked for, so the largest sums are tried out, once a process.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute
from runner.graph.layers import Layer
from runner.record import QuantizedLayer
from runner.session import Session

TO_UINT8 = 128
# Rows, or output channels, so that both the kernel for one vector and the one for a matrix are tried.
_ROWS = (1, 32)
_DEPTH, _COLUMNS = 64, 48


def has_integer_kernel(layer: Layer) -> bool:
    """Return whether the layer's sums can be had from an integer operator at a gain."""
    # With groups ConvInteger multiplies one small matrix a group, several times slower than a float convolution.
    return layer.op_type in ("Conv", "MatMul", "Gemm") and layer.group == 1 and integer_kernels_are_exact()


def integer_sums(
    build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, codes: ir.Value, prefix: str
) -> ir.Value:
    """Return the int32 sums of a layer, bias included, as float: rounded once where they pass 2**24, as on the device.

    Args:
        build: takes the nodes.
        node: of the layer, for the attributes.
        layer: the layer.
        quantized: its integers.
        codes: what it reads, offset included: int8 for a convolution, uint8 (128 more) otherwise.
        prefix: of the names.
    """
    zero_point = quantized.record.activation.zero_point

    def inputs(weight: NDArray[Any], zero_of_codes: NDArray[Any], zero_of_weight: NDArray[Any]) -> list[ir.Value]:
        named = {"weight": weight, "zero_of_codes": zero_of_codes, "zero_of_weight": zero_of_weight}
        return [codes, *(build.constant(f"{prefix}.{key}", array) for key, array in named.items())]

    if layer.spatial:
        weight = (quantized.weight.astype(np.int16) + TO_UINT8).astype(np.uint8)
        read = inputs(weight, np.asarray(zero_point, np.int8), np.asarray(TO_UINT8, np.uint8))
        total = build.like(node, read, prefix, ir.DataType.INT32, op_type="ConvInteger")
    else:
        matrix = quantized.weight.T if integer_attribute(node, "transB", 0) else quantized.weight
        read = inputs(matrix, np.asarray(zero_point + TO_UINT8, np.uint8), np.asarray(0, np.int8))
        total = build.op("MatMulInteger", read, prefix, ir.DataType.INT32)
    if quantized.bias is not None:
        bias = build.constant(f"{prefix}.bias", quantized.bias.reshape(-1, *[1] * layer.spatial))
        total = build.op("Add", [total, bias], f"{prefix}.biased", ir.DataType.INT32)
    return build.cast(total, ir.DataType.FLOAT, f"{prefix}.sum")


@cache
def integer_kernels_are_exact() -> bool:
    """Return whether both operators give the exact sums of the integers whose products are largest, on this machine."""
    return all(_convolution_is_exact(rows) and _product_is_exact(rows) for rows in _ROWS)


def _convolution_is_exact(channels: int) -> bool:
    weight = np.full((channels, _DEPTH, 1, 1), 255, np.uint8)
    weight[:, ::2] = np.arange(_DEPTH // 2, dtype=np.uint8).reshape(-1, 1, 1) + 224
    x = np.where(np.arange(_COLUMNS) % 2, np.int8(127), np.int8(-128)) * np.ones((1, _DEPTH, 1, 1), np.int8)
    expected = np.einsum("oiab,nixy->noxy", weight.astype(np.int64), x.astype(np.int64))
    return np.array_equal(_result("ConvInteger", x, weight), expected)


def _product_is_exact(rows: int) -> bool:
    x = np.full((rows, _DEPTH), 255, np.uint8)
    weight = np.ones((_DEPTH, 1), np.int8) * np.where(np.arange(_COLUMNS) % 2, np.int8(127), np.int8(-128))
    return np.array_equal(_result("MatMulInteger", x, weight), x.astype(np.int64) @ weight.astype(np.int64))


def _result(operator: str, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    build = Builder()
    dtype = ir.DataType.from_numpy(x.dtype)
    source = ir.Value(name="x", type=ir.TensorType(dtype), shape=ir.Shape(x.shape))
    output = build.op(operator, [source, build.constant("w", weight)], "sums", ir.DataType.INT32)
    graph = ir.Graph([source], [output], nodes=build.nodes, opset_imports={"": 13}, name="probe")
    build.register(graph)
    return Session(ir.Model(graph, ir_version=8)).run({"x": x})[0]
