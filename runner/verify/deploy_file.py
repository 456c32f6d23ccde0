"""A deploy file read as it is written: which nodes are integers, with which scales; nothing else is known of it.

The format is said here on its own, so that a slip of the writer is not repeated by its reader:

    AscendQuant       q = sat_int8(round_half_even(x * scale + offset)); scale and offset FLOAT, dst_type "INT8"
    layer             int8 codes and an int8 weight initializer, int32 sums, int32 bias without the offset correction
    AscendDequant     y = acc * scale; scale is the float32 in the low 32 bits of each UINT64 of the second input
    AscendAntiQuant   y = (q - offset) * scale; scale and offset FLOAT
    Mul               before AscendQuant, by a constant <layer>.tensor_balance_factor: a float operator like any other, which
                      a balanced layer owns

ATC takes an attribute of another type as absent, that is as 0, without a word; here that is a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as passes

from runner.errors import ModelError, VerificationError
from runner.graph.constants import constant, integer_attribute, integer_attributes
from runner.graph.model_file import load_model
from runner.graph.opset import raise_opset
from runner.verify.transposed import turned

QUANT, DEQUANT, ANTI_QUANT = "AscendQuant", "AscendDequant", "AscendAntiQuant"
_LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")
# An attribute that changes the arithmetic in a way that is not executed here -> the only value that does not.
_NEUTRAL = {"dst_type": "INT8", "round_mode": "Round", "sqrt_mode": 0, "relu_flag": 0, "dtype": 0}
_LOW_HALF = np.uint64(0xFFFFFFFF)
_QMIN, _QMAX = -128, 127


@dataclass(frozen=True, slots=True)
class Rounding:
    """The attributes of an AscendQuant or AscendAntiQuant: the scale as it stands there, float32, and the offset."""

    scale: float
    offset: int


@dataclass(frozen=True, slots=True)
class AntiQuant:
    """An AscendAntiQuant: its attributes, the AscendQuant that makes its codes, and which inputs of which nodes read it."""

    rounding: Rounding
    quant: str
    readers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class IntegerLayer:
    """One int8 layer.

    Attributes:
        name: of the layer's node.
        op_type: Conv, ConvTranspose, Gemm, MatMul or AveragePool.
        quant: name of the AscendQuant that makes its codes.
        offset: of these codes.
        weight: int8, [Cout, Cin/group, k...] of a convolution that slides over the image (of a ConvTranspose turned around),
            [..., K, N] of a product, ones [1, 1, k...] of an AveragePool.
        bias: int32, shape (channels,), or None.
        dequant: name of the AscendDequant behind it.
        scales: of the AscendDequant, float32, shape (1,) or (channels,).
        value: what the float output is called outside of this file: the sums have the name here, or the dequantized value
            where it is an output of the model.
        balance: what each channel of its input is multiplied by before AscendQuant, float32, shape (input channels,); None
            where it is not balanced.
    """

    name: str
    op_type: str
    quant: str
    offset: int
    weight: NDArray[np.int8]
    bias: NDArray[np.int32] | None
    dequant: str
    scales: NDArray[np.float32]
    value: str
    balance: NDArray[np.float32] | None = None

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix product, its channels last; otherwise they are the second axis."""
        return self.op_type in ("Gemm", "MatMul")


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """What a deploy file says, as a model of integers.

    Attributes:
        path: of the file.
        standard: the graph in standard operators and float types: an Identity in the place of each Ascend operator, weights and
            biases as floats. Not to be run, but onnx can infer its shapes and raise its opset.
        quants: of each AscendQuant, by node name.
        anti_quants: of each AscendAntiQuant, by node name.
        code_pads: names of the Pad nodes that pad codes.
        layers: in graph order.
    """

    path: Path
    standard: ir.Model
    quants: Mapping[str, Rounding]
    anti_quants: Mapping[str, AntiQuant]
    code_pads: frozenset[str]
    layers: tuple[IntegerLayer, ...]

    @cached_property
    def raised(self) -> ir.Model:
        """``standard`` at the opset that runs here.

        Raises:
            ModelError: the converter cannot raise an operator's opset.
        """
        return raise_opset(self.standard)


def read_deploy(path: Path) -> IntegerModel:
    """Read a deploy file.

    Raises:
        VerificationError: it is no ONNX file, or a node does not follow the format; names the node.
    """
    try:
        model = load_model(path).graph
    except ModelError as error:
        raise VerificationError(f"{path}: {error}") from error
    try:
        return _read(path, model)
    except _FormatError as fault:
        raise VerificationError(f"{path}: {fault}. Please report this.") from fault


class _FormatError(Exception):
    """What one node breaks of the format."""

    def __init__(self, node: ir.Node, expected: str, got: object) -> None:
        super().__init__(f"{node.op_type} '{node.name}': expected {expected}, got {got}")


def _read(path: Path, model: ir.Model) -> IntegerModel:
    nodes = [node for node in model.graph if node.op_type in (QUANT, DEQUANT, ANTI_QUANT)]
    for node in nodes:
        _check(node)
    quants = {node.name or "": _rounding(node) for node in nodes if node.op_type == QUANT}
    anti_quants = {node.name or "": _anti_quant(node) for node in nodes if node.op_type == ANTI_QUANT}
    layers = tuple(_layer(node, quants) for node in model.graph if _is_integer(node))
    claimed = {layer.dequant for layer in layers}
    for node in nodes:
        if node.op_type == DEQUANT and node.name not in claimed:
            raise _FormatError(node, "the sums of an int8 layer as input", "another value")
    pads = frozenset(
        node.name or "" for node in model.graph if node.op_type == "Pad" and _quant_before(node) is not None
    )
    for node in nodes:
        _as_identity(node)
    for node in list(model.graph):
        _as_float(node)
    passes.RemoveUnusedNodesPass()(model)
    return IntegerModel(path, model, quants, anti_quants, pads, layers)


def _check(node: ir.Node) -> None:
    if node.domain not in ("", "ai.onnx"):
        raise _FormatError(node, "the default domain", node.domain)
    for name, neutral in _NEUTRAL.items():
        attribute = node.attributes.get(name)
        if attribute is not None and attribute.value != neutral:
            raise _FormatError(node, f"{name} {neutral}", attribute.value)


def _rounding(node: ir.Node) -> Rounding:
    values = []
    for name in ("scale", "offset"):
        attribute = node.attributes.get(name)
        if attribute is None or attribute.type != ir.AttributeType.FLOAT:
            got = "none" if attribute is None else attribute.type.name
            raise _FormatError(node, f"the attribute {name} of type FLOAT", got)
        values.append(float(np.float32(attribute.as_float())))
    scale, offset = values
    if not (np.isfinite(scale) and scale > 0):
        raise _FormatError(node, "a scale above 0", scale)
    if not (offset.is_integer() and _QMIN <= offset <= _QMAX):
        raise _FormatError(node, f"a whole offset from {_QMIN} to {_QMAX}", offset)
    return Rounding(scale, int(offset))


def _anti_quant(node: ir.Node) -> AntiQuant:
    quant = _quant_before(node)
    if quant is None:
        raise _FormatError(node, f"codes from {QUANT} as input", "another value")
    readers = tuple((usage.node.name or "", usage.idx) for usage in node.outputs[0].uses())
    return AntiQuant(_rounding(node), quant.name or "", readers)


def _is_integer(node: ir.Node) -> bool:
    """Whether a node computes integers: it reads codes, or has an int8 weight."""
    if node.op_type not in _LAYER_TYPES or node.domain not in ("", "ai.onnx"):
        return False
    weight = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return _quant_before(node) is not None or (weight is not None and weight.dtype == np.int8)


def _quant_before(node: ir.Node) -> ir.Node | None:
    """Return the AscendQuant that makes a node's codes, through a Pad of codes where there is one."""
    value = node.inputs[0]
    producer = None if value is None else value.producer()
    if producer is not None and producer.op_type == "Pad" and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    return producer if producer is not None and producer.op_type == QUANT else None


def _layer(node: ir.Node, quants: Mapping[str, Rounding]) -> IntegerLayer:
    quant = _quant_before(node)
    if quant is None:
        raise _FormatError(node, f"codes from {QUANT} as input", "another value")
    bias: NDArray[np.int32] | None = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = np.asarray(_integers(node, 2, np.dtype(np.int32), "bias"), np.int32).reshape(-1)
    readers = [usage.node for usage in node.outputs[0].uses()]
    if len(readers) != 1 or readers[0].op_type != DEQUANT or node.outputs[0].is_graph_output():
        raise _FormatError(
            node, f"one {DEQUANT} as only reader", ", ".join(str(reader.op_type) for reader in readers) or "none"
        )
    name = quant.name or ""
    dequant = readers[0]
    real = dequant.outputs[0]
    return IntegerLayer(
        name=node.name or "",
        op_type=node.op_type,
        quant=name,
        offset=quants[name].offset,
        weight=_weight(node),
        bias=bias,
        dequant=dequant.name or "",
        scales=_scales(dequant),
        value=(real if real.is_graph_output() else node.outputs[0]).name or "",
        balance=_balance(node, quant),
    )


def _balance(node: ir.Node, quant: ir.Node) -> NDArray[np.float32] | None:
    """Return the constant of the layer's own Mul before its AscendQuant."""
    source = quant.inputs[0]
    mul = None if source is None else source.producer()
    if mul is None or mul.op_type != "Mul" or len(mul.inputs) != 2:
        return None
    factor = mul.inputs[1]
    if factor is None or not (factor.name or "").startswith(f"{node.name}.tensor_balance_factor"):
        return None
    held = constant(factor)
    if held is None or held.dtype != np.float32:
        raise _FormatError(mul, "constant float32 factors", "computed ones" if held is None else held.dtype)
    values = np.asarray(held, np.float32).reshape(-1)
    if not np.all(np.isfinite(values) & (values > 0)):
        raise _FormatError(mul, "positive finite factors", values[~(np.isfinite(values) & (values > 0))][0])
    return values


def _weight(node: ir.Node) -> NDArray[np.int8]:
    if node.op_type == "AveragePool":
        return np.ones((1, 1, *integer_attributes(node, "kernel_shape", [])), np.int8)
    weight = np.asarray(_integers(node, 1, np.dtype(np.int8), "weight"), np.int8)
    if node.op_type == "ConvTranspose":
        return turned(weight, integer_attribute(node, "group", 1))
    transposed = node.op_type == "Gemm" and integer_attribute(node, "transB", 0)
    return np.ascontiguousarray(weight.T) if transposed else weight


def _integers(node: ir.Node, index: int, dtype: np.dtype[np.signedinteger], role: str) -> NDArray[np.generic]:
    array = constant(node.inputs[index])
    if array is None or array.dtype != dtype:
        raise _FormatError(node, f"a constant {role} of {dtype}", "a computed one" if array is None else array.dtype)
    return array


def _scales(dequant: ir.Node) -> NDArray[np.float32]:
    parameter = constant(dequant.inputs[1]) if len(dequant.inputs) == 2 else None
    if parameter is None or parameter.dtype != np.uint64:
        raise _FormatError(
            dequant, "a constant of UINT64 as second input", None if parameter is None else parameter.dtype
        )
    bits = parameter.astype(np.uint64).reshape(-1)
    if np.any(bits > _LOW_HALF):
        raise _FormatError(
            dequant, "a parameter without shift and weight offset (its high 32 bits 0)", hex(int(bits.max()))
        )
    return (bits & _LOW_HALF).astype(np.uint32).view(np.float32)


def _as_identity(node: ir.Node) -> None:
    node.op_type = "Identity"
    node.attributes.clear()
    node.resize_inputs(1)
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)


def _as_float(node: ir.Node) -> None:
    """Give int8 and int32 constants of layers, and of a Pad of codes, as floats."""
    if node.op_type not in (*_LAYER_TYPES, "Pad"):
        return
    for index, value in enumerate(node.inputs):
        array = constant(value)
        is_pads = node.op_type == "Pad" and index != 2
        if value is None or array is None or is_pads or array.dtype.kind != "i":
            continue
        tensor = ir.tensor(np.asarray(array, np.float32), name=value.name)
        value.const_value, value.type = tensor, ir.TensorType(ir.DataType.FLOAT)
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT) if _was_integer(node) else node.outputs[0].type


def _was_integer(node: ir.Node) -> bool:
    output = node.outputs[0]
    return output.type is not None and output.type.dtype in (ir.DataType.INT8, ir.DataType.INT32)
