"""A layer's sums by onnxruntime's integer operators, where this machine's are exact and fast.

The uint8 side is the weight of a ConvInteger and the activation of a MatMulInteger (see ``integer_kernels``); it is shifted by
128, and so is its zero point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner import integer_kernels
from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute
from runner.graph.layers import Layer
from runner.record import QuantizedLayer

TO_UINT8 = 128


def has_integer_kernel(layer: Layer) -> bool:
    """Return whether the layer's sums can be had from an integer operator at a gain."""
    # With groups ConvInteger multiplies one small matrix a group, several times slower than a float convolution.
    return layer.operator.integer_operator is not None and layer.group == 1 and integer_kernels.are_exact()


def integer_sums(
    build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, codes: ir.Value, prefix: str
) -> ir.Value:
    """Return the int32 sums of a layer, bias included.

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
    return total
