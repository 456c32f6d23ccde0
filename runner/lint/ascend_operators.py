"""The Ascend operators by themselves: inputs, attribute names and types, the ranges of their numbers.

ATC's plugins look an attribute up by name and type; one of another type is not read, and its value silently is 0.

    operator          inputs        must have                                    may have
    AscendQuant       x             scale FLOAT, offset FLOAT, dst_type STRING   round_mode STRING, sqrt_mode INT
    AscendDequant     sums, param                                                dtype INT, sqrt_mode INT, relu_flag INT
    AscendAntiQuant   codes         scale FLOAT, offset FLOAT                    dtype INT, sqrt_mode INT
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto

from runner.lint.deploy_file import ANTI_QUANT, DEQUANT, QUANT, DeployFile, attribute_values, label, type_name
from runner.lint.finding import Finding

_FLOAT, _INT, _STRING = AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING
_Types = Mapping[str, AttributeProto.AttributeType]
_REQUIRED: Mapping[str, _Types] = {
    QUANT: {"scale": _FLOAT, "offset": _FLOAT, "dst_type": _STRING},
    DEQUANT: {},
    ANTI_QUANT: {"scale": _FLOAT, "offset": _FLOAT},
}
_OPTIONAL: Mapping[str, _Types] = {
    QUANT: {"round_mode": _STRING, "sqrt_mode": _INT},
    DEQUANT: {"dtype": _INT, "sqrt_mode": _INT, "relu_flag": _INT},
    ANTI_QUANT: {"dtype": _INT, "sqrt_mode": _INT},
}
_INPUTS = {QUANT: 1, DEQUANT: 2, ANTI_QUANT: 1}
_CODE_RANGE = {"INT4": (-8, 7), "INT8": (-128, 127), "INT16": (-32768, 32767)}
_INT8_RANGE = _CODE_RANGE["INT8"]
# 0 writes float32, 1 float16; the layer's real scale is not scale**2; no Relu is part of the operator, or one is.
_VALUES = {"dtype": (0, 1), "relu_flag": (0, 1), "sqrt_mode": (0, 1)}


def check_ascend_operator(file: DeployFile, node: NodeProto) -> Iterator[Finding]:
    """Yield what is wrong with an Ascend operator whatever stands around it."""
    yield from _check_inputs(node)
    yield from _check_attributes(node)
    if node.op_type == DEQUANT:
        yield from _check_parameter(file, node)
        return
    yield from _check_scale(node)
    kind = attribute_values(node, _STRING).get("dst_type", b"INT8").decode(errors="replace")
    if kind not in _CODE_RANGE:
        yield Finding(label(node), f"dst_type {', '.join(_CODE_RANGE)}", kind)
    yield from _check_offset(node, _CODE_RANGE.get(kind, _INT8_RANGE))


def _check_inputs(node: NodeProto) -> Iterator[Finding]:
    expected = _INPUTS[node.op_type]
    given = len(list(filter(None, node.input)))
    if given != expected:
        yield Finding(label(node), f"{expected} input(s)", str(given))
    if len(node.output) != 1:
        yield Finding(label(node), "1 output", str(len(node.output)))


def _check_attributes(node: NodeProto) -> Iterator[Finding]:
    required, optional = _REQUIRED[node.op_type], _OPTIONAL[node.op_type]
    types = {attribute.name: attribute.type for attribute in node.attribute}
    for name, kind in {**required, **optional}.items():
        if types.get(name) != kind and (name in types or name in required):
            got = "none" if name not in types else _type(types[name])
            yield Finding(label(node), f"attribute {name} of type {_type(kind)}", got)
    for name in types:
        if name not in required and name not in optional:
            known = ", ".join([*required, *optional])
            yield Finding(label(node), f"no attributes but {known}", f"{name}, which ATC does not read", "warning")
    for name, value in attribute_values(node, _INT).items():
        if name in _VALUES and value not in _VALUES[name]:
            yield Finding(label(node), f"{name} {' or '.join(map(str, _VALUES[name]))}", str(value))


def _check_scale(node: NodeProto) -> Iterator[Finding]:
    scale = attribute_values(node, _FLOAT).get("scale")
    if scale is None:
        return
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / np.float32(scale)
    if not (np.isfinite(scale) and scale > 0 and np.isfinite(inverse)):
        yield Finding(label(node), "a scale that is positive and finite, as is its reciprocal", f"{scale:g}")


def _check_offset(node: NodeProto, codes: tuple[int, int]) -> Iterator[Finding]:
    offset = attribute_values(node, _FLOAT).get("offset")
    if offset is not None and not (float(offset).is_integer() and codes[0] <= offset <= codes[1]):
        yield Finding(label(node), f"an offset that is a whole number from {codes[0]} to {codes[1]}", f"{offset:g}")


def _check_parameter(file: DeployFile, node: NodeProto) -> Iterator[Finding]:
    expected = "a UINT64 initializer of one axis as second input"
    tensor = file.tensor(node, 1)
    if tensor is None:
        yield Finding(label(node), expected, "a computed value" if len(node.input) > 1 else "none")
        return
    if tensor.data_type != TensorProto.UINT64 or len(tensor.dims) != 1:
        yield Finding(label(node), expected, f"{type_name(tensor)} of shape {list(tensor.dims)}")
        return
    values = file.array(tensor)
    if values is None:
        yield Finding(
            label(node), f"{list(tensor.dims)} numbers in '{tensor.name}'", "data that is missing or too short"
        )
        return
    high = values >> np.uint64(32)
    if np.any(high):
        first = int(np.flatnonzero(high)[0])
        got = f"0x{int(high[first]):08x} at {first} (bits 39:32 are a shift, 47:40 a weight offset)"
        yield Finding(label(node), "a parameter whose high 32 bits are 0", got)
    scales = (values & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    bad = np.flatnonzero(~(np.isfinite(scales) & (scales > 0)))
    if bad.size:
        got = f"{scales[bad[0]]:g} at {int(bad[0])}"
        yield Finding(label(node), "float32 bits of positive finite scales in the low 32 bits", got)


def _type(kind: AttributeProto.AttributeType) -> str:
    return str(AttributeProto.AttributeType.Name(kind))
