"""QuantizeLinear, DequantizeLinear and layers: which nodes they are, and the parameters that the first two state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.constants import constant, integer_attribute
from runner.graph.operators import operator_of

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
# onnxruntime's quantizer can write both operators in its own domain; for 8 bits they mean the same.
_DOMAINS = ("", "ai.onnx", "com.microsoft")


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """Scale and zero point of one QuantizeLinear or DequantizeLinear, as stored.

    Attributes:
        scale: shape () or (1,) for one, (n,) along ``axis``, or a block's shape.
        zero_point: shape as ``scale``, in the codes' own type; zeros of that type where the source has none.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any]
    axis: int
    block_size: int

    @property
    def per_tensor(self) -> bool:
        """Whether there is one scale and one zero point in all."""
        return self.scale.size == 1 and self.zero_point.size == 1


def is_quantize(node: ir.Node | None) -> bool:
    """Return whether a node is a QuantizeLinear."""
    return node is not None and node.op_type == QUANTIZE and node.domain in _DOMAINS


def is_dequantize(node: ir.Node | None) -> bool:
    """Return whether a node is a DequantizeLinear."""
    return node is not None and node.op_type == DEQUANTIZE and node.domain in _DOMAINS


def is_layer(node: ir.Node) -> bool:
    """Return whether a node is of a type that a record can hold as a layer."""
    return operator_of(node) is not None


def parameters(node: ir.Node) -> Parameters | None:
    """Return a node's parameters; None where they are not constants."""
    scale = constant(node.inputs[1])
    has_zero_point = len(node.inputs) > 2 and node.inputs[2] is not None
    zero_point = constant(node.inputs[2]) if has_zero_point else None
    if scale is None or (has_zero_point and zero_point is None):
        return None
    if zero_point is None:
        zero_point = np.zeros(scale.shape, _code_type(node))
    return Parameters(scale, zero_point, integer_attribute(node, "axis", 1), integer_attribute(node, "block_size", 0))


def code_clip(node: ir.Node | None) -> tuple[int, int] | None:
    """Return the limits of a Clip on codes, which PyTorch writes where it trains with 7 bits (reduce_range)."""
    if node is None or node.op_type != "Clip" or node.inputs[0] is None or not is_quantize(node.inputs[0].producer()):
        return None
    low, high = (constant(node.inputs[i]) if len(node.inputs) > i else None for i in (1, 2))
    if low is None or high is None:
        return None
    return int(low.item()), int(high.item())


def _code_type(node: ir.Node) -> np.dtype[np.generic]:
    """Return the type of the codes of a node without a zero point."""
    if is_quantize(node):
        stated = integer_attribute(node, "output_dtype", 0)
        return np.dtype(ir.DataType(stated).numpy()) if stated else np.dtype(np.uint8)
    codes = node.inputs[0]
    stored = constant(codes)
    if stored is not None:
        return stored.dtype
    producer = None if codes is None else codes.producer()
    if producer is not None and is_quantize(producer):
        first = parameters(producer)
        return np.dtype(np.uint8) if first is None else first.zero_point.dtype
    return np.dtype(np.uint8) if codes is None or codes.dtype is None else np.dtype(codes.dtype.numpy())
