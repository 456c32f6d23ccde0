"""Constants that a source stores as integers, or rounds: weights and biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.qdq.nodes import Parameters, code_clip, is_dequantize, is_quantize, parameters
from runner.errors import ModelError
from runner.graph.constants import Array, constant, integer_attribute


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedConstant:
    """A constant that the source stores as integers, or rounds.

    Attributes:
        integers: ``q - zero_point``, int64.
        scales: same shape as ``integers`` (a view), so that both can be transposed alike.
        dtype: of the codes in the source.
        axis: that the scales lie along, in the shape the source stores; None where there is one in all.
        granularity: ``per tensor``, ``per channel`` or ``blocks``.
        zero_points: lowest and highest of the source's zero points.
        nodes: the DequantizeLinear, and the QuantizeLinear where the source has one.
    """

    integers: NDArray[np.int64]
    scales: NDArray[Any]
    dtype: str
    axis: int | None
    granularity: str
    zero_points: tuple[int, int]
    nodes: tuple[ir.Node, ...]

    @property
    def real(self) -> Array:
        """``fl32((q - zero_point) * scale)``, bit for bit what DequantizeLinear gives."""
        return np.asarray(self.integers.astype(self.scales.dtype) * self.scales)

    def moved(self, move: Callable[[Array], Array]) -> QuantizedConstant:
        """Return the constant with its elements moved (transposed, reshaped, broadcast)."""
        integers = np.asarray(move(self.integers), np.int64)
        return replace(self, integers=integers, scales=move(self.scales))


def quantized_constant(value: ir.Value | None) -> QuantizedConstant | None:
    """Return what a value holds if it is a dequantized constant, also behind Transpose and Reshape; None otherwise.

    Raises:
        ModelError: the scales do not fit the tensor.
    """
    node = None if value is None else value.producer()
    if node is None:
        return None
    if is_dequantize(node):
        return _dequantized(node)
    move = _movement(node)
    inner = quantized_constant(node.inputs[0]) if move is not None else None
    return None if inner is None or move is None else inner.moved(move)


def _dequantized(node: ir.Node) -> QuantizedConstant | None:
    codes, nodes = constant(node.inputs[0]), [node]
    producer = None if node.inputs[0] is None else node.inputs[0].producer()
    limits = code_clip(producer)
    if limits is not None and producer is not None and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    if codes is None and producer is not None and is_quantize(producer):
        codes, nodes = _rounded(producer), [producer, node]
        codes = codes if codes is None or limits is None else np.clip(codes, *limits)
    stated = parameters(node)
    # By name: int4 is no integer to numpy, and float8 codes are none at all.
    if codes is None or stated is None or not codes.dtype.name.startswith(("int", "uint")):
        return None
    axis = None if stated.per_tensor else stated.axis % max(codes.ndim, 1)
    integers = codes.astype(np.int64) - _spread(stated.zero_point.astype(np.int64), codes.shape, stated, node)
    granularity = (
        "per tensor" if stated.per_tensor else "blocks" if stated.block_size else f"per channel, axis {stated.axis}"
    )
    zero_points = (int(stated.zero_point.astype(np.int64).min()), int(stated.zero_point.astype(np.int64).max()))
    scales = _spread(stated.scale, codes.shape, stated, node)
    return QuantizedConstant(integers, scales, str(codes.dtype), axis, granularity, zero_points, tuple(nodes))


def _rounded(quantize: ir.Node) -> Array | None:
    """Return the codes that a QuantizeLinear makes of a constant: divide, round half to even, saturate."""
    array, stated = constant(quantize.inputs[0]), parameters(quantize)
    if array is None or stated is None or stated.zero_point.dtype.kind not in "iu":
        return None
    limits = np.iinfo(stated.zero_point.dtype)
    scale = _spread(stated.scale, array.shape, stated, quantize)
    zero_point = _spread(stated.zero_point.astype(np.int64), array.shape, stated, quantize)
    with np.errstate(all="ignore"):
        steps = np.rint(np.asarray(array, scale.dtype) / scale).astype(np.float64)
    codes = np.clip(np.nan_to_num(steps) + zero_point, limits.min, limits.max)
    return np.asarray(codes.astype(stated.zero_point.dtype))


def _spread(values: NDArray[Any], shape: tuple[int, ...], stated: Parameters, node: ir.Node) -> NDArray[Any]:
    """Return parameters as a view of the tensor's shape."""
    if values.size == 1:
        return np.broadcast_to(values.reshape(()), shape)
    axis, blocks = stated.axis, stated.block_size
    try:
        if blocks:
            repeated = np.repeat(values, blocks, axis=axis)
            return np.take(repeated, range(shape[axis]), axis=axis).reshape(shape)
        along = [1] * len(shape)
        along[axis] = -1
        return np.broadcast_to(values.reshape(along), shape)
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"model.path: '{node.name}' ({node.op_type}) has {values.size} scales or zero points along axis {axis} of a "
            f"tensor of shape {list(shape)}; expected one for each index of that axis. Export the model again."
        ) from error


def _movement(node: ir.Node) -> Callable[[Array], Array] | None:
    """Return what a Transpose, or a Reshape to a constant shape, does to an array; None for any other node."""
    if node.domain != "":
        return None
    if node.op_type == "Transpose":
        order = node.attributes.get("perm")
        axes = None if order is None else tuple(order.as_ints())
        return lambda array: np.transpose(array, axes)
    target = constant(node.inputs[1]) if node.op_type == "Reshape" else None
    if target is None:
        return None
    wanted, keep = [int(n) for n in target.ravel()], not integer_attribute(node, "allowzero", 0)
    return lambda a: np.reshape(a, [a.shape[i] if n == 0 and keep else n for i, n in enumerate(wanted)])
