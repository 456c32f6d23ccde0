"""QuantizeLinear and DequantizeLinear as a source model has them: rounded activations, and quantized constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.errors import ModelError
from runner.graph.constants import Array, constant, integer_attribute
from runner.ranges import ActivationParams

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
# onnxruntime's quantizer can write both operators in its own domain; for 8 bits they mean the same.
_DOMAINS = ("", "ai.onnx", "com.microsoft")
# Rounding to a grid that holds zero commutes exactly with moving values, and with monotone operators that keep zero:
# f(round(x)) == round(f(x)). A pair in front of these still quantizes the layer behind them.
_COMMUTING = (
    *("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "DepthToSpace", "SpaceToDepth"),
    *("MaxPool", "Relu"),
)


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


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An activation that is rounded: QuantizeLinear, then DequantizeLinear.

    Attributes:
        quantize: None where the DequantizeLinear reads integers that no node of the graph quantized (an int8 input).
        dequantize: its output is what the float operators read.
        params: as a record holds them, zero point in int8; None where the pair is not accepted.
        refusal: why it is not accepted.
        dtype, scale, zero_point: as the source states them; zeros where they cannot be read.
        codes: lowest and highest code that can occur; narrower than the type where a Clip stands between the two nodes.
        narrowed: whether one does.
    """

    quantize: ir.Node | None
    dequantize: ir.Node
    params: ActivationParams | None
    refusal: str | None
    dtype: str
    scale: float
    zero_point: int
    codes: tuple[int, int]
    narrowed: bool

    @property
    def limits(self) -> tuple[float, float]:
        """The real values that the lowest and the highest code stand for."""
        low, high = (float(np.float32(code - self.zero_point) * np.float32(self.scale)) for code in self.codes)
        return low, high


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedConstant:
    """A constant that the source stores as integers, or rounds.

    Attributes:
        integers: ``q - zero_point``, int64.
        scales: same shape as ``integers`` (a view), so that both can be transposed alike.
        dtype: of the codes in the source.
        granularity: ``per tensor``, ``per channel`` or ``blocks``.
        zero_points: lowest and highest of the source's zero points.
        nodes: the DequantizeLinear, and the QuantizeLinear where the source has one.
    """

    integers: NDArray[np.int64]
    scales: NDArray[Any]
    dtype: str
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
        return QuantizedConstant(
            integers, move(self.scales), self.dtype, self.granularity, self.zero_points, self.nodes
        )


def is_quantize(node: ir.Node | None) -> bool:
    """Return whether a node is a QuantizeLinear."""
    return node is not None and node.op_type == QUANTIZE and node.domain in _DOMAINS


def is_dequantize(node: ir.Node | None) -> bool:
    """Return whether a node is a DequantizeLinear."""
    return node is not None and node.op_type == DEQUANTIZE and node.domain in _DOMAINS


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


def find_pairs(graph: ir.Graph) -> dict[ir.Node, Pair]:
    """Return the activation pairs by their DequantizeLinear, in graph order; constants are none."""
    return {n: _pair(n) for n in graph if is_dequantize(n) and quantized_constant(n.outputs[0]) is None}


def nearest_pair(value: ir.Value | None, pairs: dict[ir.Node, Pair]) -> Pair | None:
    """Return the pair that rounded a value, also where operators stand between that rounding commutes with."""
    node = None if value is None else value.producer()
    while node is not None and node not in pairs:
        behind = node.inputs[0] if commutes(node) else None
        node = None if behind is None else behind.producer()
    return None if node is None else pairs[node]


def commutes(node: ir.Node) -> bool:
    """Return whether rounding the input or the output of a node is the same, bit for bit."""
    if node.domain != "":
        return False
    return node.op_type in _COMMUTING or (node.op_type == "Pad" and _pads_with_zero(node))


def requantizers(value: ir.Value) -> Iterator[ir.Node]:
    """Yield the QuantizeLinear nodes that read a value."""
    return (usage.node for usage in value.uses() if is_quantize(usage.node) and usage.idx == 0)


def _pads_with_zero(node: ir.Node) -> bool:
    mode = node.attributes.get("mode")
    filler = node.inputs[2] if len(node.inputs) > 2 else None
    value = constant(filler)
    constant_mode = mode is None or mode.as_string() == "constant"
    return (
        constant_mode
        and (filler is None or (value is not None and not np.any(value)))
        and "value" not in node.attributes
    )


def _pair(dequantize: ir.Node) -> Pair:
    codes_value = dequantize.inputs[0]
    producer = None if codes_value is None else codes_value.producer()
    clip = code_clip(producer)
    if clip is not None and producer is not None and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    quantize = producer if is_quantize(producer) else None
    stated = _parameters(dequantize)
    refusal = _refusal(quantize, dequantize, stated)
    params: ActivationParams | None = None
    if stated is None or not stated.per_tensor:
        return Pair(quantize, dequantize, None, refusal, "", 0.0, 0, (0, 0), False)
    dtype, scale, zero_point = stated.zero_point.dtype, float(stated.scale.item()), int(stated.zero_point.item())
    limits = (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) if np.issubdtype(dtype, np.integer) else (0, 0)
    if refusal is None:
        try:
            params = ActivationParams(scale, zero_point - 128 if dtype == np.uint8 else zero_point)
        except ValueError as error:
            refusal = str(error)
    narrowed = clip is not None
    codes = limits if clip is None else (max(limits[0], clip[0]), min(limits[1], clip[1]))
    return Pair(quantize, dequantize, params, refusal, str(dtype), scale, zero_point, codes, narrowed)


def _refusal(quantize: ir.Node | None, dequantize: ir.Node, stated: Parameters | None) -> str | None:
    """Return why a pair cannot be taken over, or None."""
    if stated is None:
        return f"the scale or zero point of '{dequantize.name}' is computed by the graph"
    if not stated.per_tensor:
        return f"'{dequantize.name}' has {stated.scale.size} scales; an activation has one"
    if stated.zero_point.dtype not in (np.int8, np.uint8) or stated.scale.dtype != np.float32:
        return f"its codes are {stated.zero_point.dtype} with {stated.scale.dtype} scales, not (u)int8 with float32"
    if quantize is None:
        return None
    first = _parameters(quantize)
    if first is None or not first.per_tensor:
        return f"the scale or zero point of '{quantize.name}' is computed by the graph or per channel"
    mine, theirs = ((p.scale.item(), p.zero_point.item()) for p in (first, stated))
    if mine != theirs:
        return (
            f"QuantizeLinear '{quantize.name}' has scale {mine[0]:.9g} and zero point {mine[1]}, DequantizeLinear "
            f"'{dequantize.name}' has scale {theirs[0]:.9g} and zero point {theirs[1]}; they must be equal"
        )
    return None


def rescaling(pair: Pair) -> tuple[float, float] | None:
    """Return ``(factor, shift)`` of ``y = factor * x + shift`` that a pair computes besides rounding; None for neither.

    Only a pair whose two nodes disagree does.
    """
    if pair.quantize is None:
        return None
    first, second = _parameters(pair.quantize), _parameters(pair.dequantize)
    if first is None or second is None or not (first.per_tensor and second.per_tensor):
        return None
    factor = float(second.scale.item()) / float(first.scale.item())
    shift = (float(first.zero_point.item()) - float(second.zero_point.item())) * float(second.scale.item())
    return None if (factor, shift) == (1.0, 0.0) else (factor, shift)


def code_clip(node: ir.Node | None) -> tuple[int, int] | None:
    """Return the limits of a Clip on codes, which PyTorch writes where it trains with 7 bits (reduce_range)."""
    if node is None or node.op_type != "Clip" or node.inputs[0] is None or not is_quantize(node.inputs[0].producer()):
        return None
    low, high = (constant(node.inputs[i]) if len(node.inputs) > i else None for i in (1, 2))
    if low is None or high is None:
        return None
    return int(low.item()), int(high.item())


def _parameters(node: ir.Node) -> Parameters | None:
    """Return a node's parameters; None where they are not constants."""
    scale = constant(node.inputs[1])
    has_zero_point = len(node.inputs) > 2 and node.inputs[2] is not None
    zero_point = constant(node.inputs[2]) if has_zero_point else None
    if scale is None or (has_zero_point and zero_point is None):
        return None
    if zero_point is None:
        zero_point = np.zeros(scale.shape, _code_type(node))
    return Parameters(scale, zero_point, integer_attribute(node, "axis", 1), integer_attribute(node, "block_size", 0))


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
        first = _parameters(producer)
        return np.dtype(np.uint8) if first is None else first.zero_point.dtype
    return np.dtype(np.uint8) if codes is None or codes.dtype is None else np.dtype(codes.dtype.numpy())


def _dequantized(node: ir.Node) -> QuantizedConstant | None:
    codes, nodes = constant(node.inputs[0]), [node]
    producer = None if node.inputs[0] is None else node.inputs[0].producer()
    limits = code_clip(producer)
    if limits is not None and producer is not None and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    if codes is None and producer is not None and is_quantize(producer):
        codes, nodes = _rounded(producer), [producer, node]
        codes = codes if codes is None or limits is None else np.clip(codes, *limits)
    parameters = _parameters(node)
    # By name: int4 is no integer to numpy, and float8 codes are none at all.
    if codes is None or parameters is None or not codes.dtype.name.startswith(("int", "uint")):
        return None
    axis = parameters.axis
    integers = codes.astype(np.int64) - _spread(parameters.zero_point.astype(np.int64), codes.shape, parameters, node)
    granularity = (
        "per tensor" if parameters.per_tensor else "blocks" if parameters.block_size else f"per channel, axis {axis}"
    )
    zero_points = (int(parameters.zero_point.astype(np.int64).min()), int(parameters.zero_point.astype(np.int64).max()))
    scales = _spread(parameters.scale, codes.shape, parameters, node)
    return QuantizedConstant(integers, scales, str(codes.dtype), granularity, zero_points, tuple(nodes))


def _rounded(quantize: ir.Node) -> Array | None:
    """Return the codes that a QuantizeLinear makes of a constant: divide, round half to even, saturate."""
    array, parameters = constant(quantize.inputs[0]), _parameters(quantize)
    if array is None or parameters is None or parameters.zero_point.dtype.kind not in "iu":
        return None
    limits = np.iinfo(parameters.zero_point.dtype)
    scale = _spread(parameters.scale, array.shape, parameters, quantize)
    zero_point = _spread(parameters.zero_point.astype(np.int64), array.shape, parameters, quantize)
    with np.errstate(all="ignore"):
        steps = np.rint(np.asarray(array, scale.dtype) / scale).astype(np.float64)
    codes = np.clip(np.nan_to_num(steps) + zero_point, limits.min, limits.max)
    return np.asarray(codes.astype(parameters.zero_point.dtype))


def _spread(values: NDArray[Any], shape: tuple[int, ...], parameters: Parameters, node: ir.Node) -> NDArray[Any]:
    """Return parameters as a view of the tensor's shape."""
    if values.size == 1:
        return np.broadcast_to(values.reshape(()), shape)
    axis, blocks = parameters.axis, parameters.block_size
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
