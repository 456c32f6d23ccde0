"""Whether onnxruntime's fast integer kernels can be trusted on this machine.

ConvInteger and MatMulInteger multiply uint8 by int8 in one instruction on CPUs with VNNI, or ARM's dot product: two to four
times the speed of a float convolution over the same integers, and the same int32 sums. The uint8 side has to be the left
one, which is the weight of a ConvInteger and the activation of a MatMulInteger.

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
from runner.session import Session

# Rows, or output channels, so that both the kernel for one vector and the one for a matrix are tried.
_ROWS = (1, 32)
_DEPTH, _COLUMNS = 64, 48


@cache
def are_exact() -> bool:
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
