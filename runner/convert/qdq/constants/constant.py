"""Constants that a source stores as integers, or rounds: weights and biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.qdq.annotated_graph import QuantizedConstant
from runner.convert.qdq.nodes import Parameters, parameters
from runner.errors import ModelError
from runner.graph.constants import Array, constant
from runner.wording import say


@dataclass(frozen=True, slots=True, eq=False)
class RoundedConstant:
    """Codes that a QuantizeLinear makes of a constant, and the nodes they come from."""

    codes: Array
    nodes: tuple[ir.Node, ...]


def dequantized(node: ir.Node, made: Mapping[ir.Value, RoundedConstant]) -> QuantizedConstant | None:
    """Return the constant that a DequantizeLinear gives of codes, stored or made by a QuantizeLinear; None for a variable.

    Raises:
        ModelError: the scales do not fit the tensor.
    """
    value = node.inputs[0]
    rounded = None if value is None else made.get(value)
    codes = constant(value) if rounded is None else rounded.codes
    stated = parameters(node)
    if codes is None or stated is None:
        return None
    axis = None if stated.per_tensor else stated.axis % max(codes.ndim, 1)
    granularity = (
        say("per tensor")
        if stated.per_tensor
        else say("blocks")
        if stated.block_size
        else say("per channel, axis {axis}", axis=stated.axis)
    )
    scales = _spread(stated.scale, codes.shape, stated, node)
    nodes = (node,) if rounded is None else (*rounded.nodes, node)
    # By name: int4 is no integer to numpy, and float8 codes are none at all.
    if not codes.dtype.name.startswith(("int", "uint")):
        real = codes.astype(np.float32) * scales
        return of_real(
            real,
            QuantizedConstant(
                np.zeros(codes.shape, np.int64), scales, str(codes.dtype), axis, granularity, (0, 0), nodes
            ),
        )
    integers = codes.astype(np.int64) - _spread(stated.zero_point.astype(np.int64), codes.shape, stated, node)
    zero_points = (int(stated.zero_point.astype(np.int64).min()), int(stated.zero_point.astype(np.int64).max()))
    if np.any(stated.scale < 0):
        integers, scales = np.where(scales < 0, -integers, integers), np.abs(scales)
    return QuantizedConstant(integers, scales, str(codes.dtype), axis, granularity, zero_points, nodes)


def rounded_codes(quantize: ir.Node, array: Array) -> Array | None:
    """Return the codes that a QuantizeLinear makes of a constant: divide, round half to even, saturate."""
    stated = parameters(quantize)
    if stated is None or stated.zero_point.dtype.kind not in "iu":
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


def of_real(real: Array, source: QuantizedConstant, *, alone: bool = False) -> QuantizedConstant:
    """Return real values on the grid of the constant that they were made of, as far as they lie on it."""
    real = np.asarray(real, np.float32)
    fits = alone and (real.shape == source.scales.shape or not any(source.scales.strides)) and source.scales.size > 0
    if not fits:
        # Each has a scale of its own then, which no channel can have: they are rounded again.
        return replace(
            source,
            integers=np.sign(real).astype(np.int64),
            scales=np.abs(real),
            computed=real,
            off_grid=np.ones(real.shape, np.bool_),
        )
    scales = source.scales if real.shape == source.scales.shape else np.broadcast_to(source.scales.flat[0], real.shape)
    with np.errstate(all="ignore"):
        steps = np.nan_to_num(np.rint(real.astype(np.float64) / scales), nan=0.0, posinf=0.0, neginf=0.0)
    integers = np.clip(steps, -(2.0**31), 2.0**31).astype(np.int64)
    off_grid = integers.astype(np.float32) * scales != real
    return replace(
        source, integers=integers, scales=scales, computed=real, off_grid=off_grid if np.any(off_grid) else None
    )
