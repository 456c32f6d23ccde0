"""Whether this machine's int8 kernels saturate.

onnxruntime multiplies uint8 activations by int8 weights. CPUs without VNNI, or ARM's dot product, add two such products in 16
bits (vpmaddubsw), and 2 * 255 * 127 is twice what these hold: the sum saturates, and the layer is wrong where its weights are
large. Weights of 7 bits (-64 .. 63) cannot reach it: 2 * 255 * 64 < 2**15. So can no kernel that is told to be precise, by
onnxruntime's session option ``session.x64quantprecision``.

Which instruction is taken is not to be asked for, so the largest sums are tried out in a default session, once a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.session import Session, plain

# The largest code of a weight where kernels saturate, and where they do not.
REDUCED_WEIGHT_MAX, WEIGHT_MAX = 63, 127

_DEPTH, _OUTPUTS, _SIDE = 64, 16, 4
# The kernels that layers become: name -> (operator, shape of its data, of its weight, attributes).
_LAYERS: Mapping[str, tuple[str, tuple[int, ...], tuple[int, ...], Mapping[str, int]]] = {
    "convolution": ("Conv", (1, _DEPTH, _SIDE, _SIDE), (_OUTPUTS, _DEPTH, 1, 1), {}),
    "convolution over places": ("Conv", (1, _DEPTH, _SIDE, _SIDE), (_OUTPUTS, _DEPTH, 3, 3), {}),
    "depthwise convolution": ("Conv", (1, _DEPTH, _SIDE, _SIDE), (_DEPTH, 1, 3, 3), {"group": _DEPTH}),
    "matrix product": ("MatMul", (_SIDE, _DEPTH), (_DEPTH, _OUTPUTS), {}),
    "product with a vector": ("MatMul", (1, _DEPTH), (_DEPTH, _OUTPUTS), {}),
    "Gemm": ("Gemm", (_SIDE, _DEPTH), (_DEPTH, _OUTPUTS), {}),
}


@cache
def saturating_kernels() -> tuple[str, ...]:
    """Return which kinds of layer this machine computes wrongly where their weights are as large as int8 holds."""
    return tuple(kind for kind in _LAYERS if any(largest_sums(kind, code) < 1 for code in (127, -128)))


def weight_max() -> int:
    """Return the largest weight code that this machine's kernels compute rightly whatever the layer."""
    return REDUCED_WEIGHT_MAX if saturating_kernels() else WEIGHT_MAX


def largest_sums(kind: str, code: int) -> float:
    """Return what a layer makes of inputs of 255 and weights of ``code``, as a share of the exact sums: 1, or less."""
    operator, data, shape, attributes = _LAYERS[kind]
    weight = np.full(shape, code, np.int8)
    per_output = int(np.prod(shape[1:])) if operator == "Conv" else _DEPTH
    # Sums that are negative need a zero point to be held, and all are three quarters of what the output holds.
    exact = per_output * 255 * code
    scale, zero = np.float32(abs(exact) / 192), np.uint8(0 if code > 0 else 255)
    model = _layer(operator, weight, data, attributes, scale, zero)
    (y,) = Session(model, plain("all")).run({"x": np.full(data, 255, np.float32)})
    return float(np.min(np.abs(y)) / (192 * scale))


def _layer(
    operator: str,
    weight: NDArray[np.int8],
    data: tuple[int, ...],
    attributes: Mapping[str, int],
    scale: np.float32,
    zero: np.uint8,
) -> ir.Model:
    """Return a layer of scale 1 between Q and DQ, its output at ``scale`` and ``zero``."""
    build = Builder()
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(data))
    read = _rounded(build, x, np.float32(1), np.uint8(0), "read")
    arrays: dict[str, NDArray[Any]] = {
        "w": weight,
        "w.scale": np.asarray(1, np.float32),
        "w.zero": np.asarray(0, np.int8),
    }
    of_weight = [build.constant(name, array) for name, array in arrays.items()]
    real = build.op("DequantizeLinear", of_weight, "w.real", ir.DataType.FLOAT)
    y = build.op(operator, [read, real], "layer", ir.DataType.FLOAT, attributes)
    output = _rounded(build, y, scale, zero, "made")
    graph = ir.Graph([x], [output], nodes=build.nodes, opset_imports={"": 13}, name="probe")
    build.register(graph)
    return ir.Model(graph, ir_version=8)


def _rounded(build: Builder, x: ir.Value, scale: np.float32, zero: np.uint8, name: str) -> ir.Value:
    pair = [build.constant(f"{name}.scale", np.asarray(scale)), build.constant(f"{name}.zero", np.asarray(zero))]
    codes = build.op("QuantizeLinear", [x, *pair], f"{name}.quantize", ir.DataType.UINT8)
    return build.op("DequantizeLinear", [codes, *pair], f"{name}.dequantize", ir.DataType.FLOAT)
