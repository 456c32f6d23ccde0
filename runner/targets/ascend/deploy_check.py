"""A written deploy model, read again from its file and held against the form that it shall hold, number for number.

That the file follows the format at all is ``runner.lint``'s to say. The format is said here once more, apart from the
writer's table: a slip in one of the two is found by the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from runner.arithmetic import dequant_scale, reciprocal
from runner.graph.added_bias import bias_add, float_bias
from runner.lint.finding import Finding
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers

_QUANT, _DEQUANT, _ANTI_QUANT = "AscendQuant", "AscendDequant", "AscendAntiQuant"
# What every node of ours says, of all that the format allows: 8 bits, and float32 behind them.
_FIXED: Mapping[str, Mapping[str, object]] = {
    _QUANT: {"dst_type": b"INT8"},
    _DEQUANT: {"dtype": 0},
    _ANTI_QUANT: {"dtype": 0},
}


def check_against_form(path: Path, form: QuantizedLayers, source: ir.Model) -> list[Finding]:
    """Return where a deploy file does not hold ``form`` of the float model ``source``; empty when it does."""
    model = onnx.load(path)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    findings = [finding for node in model.graph.node for finding in _check_fixed(node)]
    nodes = {node.name: node for node in model.graph.node}
    sources = {node.name: node for node in source.graph}
    for name in form.layers:
        layer = nodes.get(name)
        if layer is None or layer.op_type != sources[name].op_type:
            findings.append(Finding(name, "a quantized layer", "no such node"))
            continue
        weighted = len(sources[name].inputs) > 1
        findings += _check_layer(layer, form, initializers, producers, consumers, weighted=weighted)
    for key, tensor in form.tensors.items():
        findings += _check_tensor(key, tensor.activation, nodes, producers)
    for made in source.graph:
        findings += _check_added_bias(made, form, nodes, initializers)
    quantized = sum(node.op_type == _DEQUANT for node in model.graph.node)
    if quantized != len(form.layers):
        findings.append(Finding("graph", f"{len(form.layers)} {_DEQUANT}", str(quantized)))
    return findings


def _check_fixed(node: onnx.NodeProto) -> Iterator[Finding]:
    values = _attributes(node)
    for name, value in _FIXED.get(node.op_type, {}).items():
        if values.get(name) != value:
            yield Finding(node.name, f"{name} {_said(value)}", _said(values.get(name)))


def _check_layer(
    node: onnx.NodeProto,
    form: QuantizedLayers,
    initializers: Mapping[str, TensorProto],
    producers: Mapping[str, onnx.NodeProto],
    consumers: Mapping[str, list[onnx.NodeProto]],
    *,
    weighted: bool,
) -> Iterator[Finding]:
    layer = form.layers[node.name]
    activation = layer.record.activation
    quant = producers.get(node.input[0])
    if not weighted and quant is not None and quant.op_type == "Pad" and quant.name == f"{node.name}_pad":
        pad, quant = quant, producers.get(quant.input[0])
        if not np.all(_filled_with(pad, initializers) == activation.zero_point):
            yield Finding(pad.name, f"padding with {activation.zero_point}", str(_filled_with(pad, initializers)))
    yield from _check_quant(node.name, quant, activation)
    yield from _check_balance(node.name, quant, layer.record.balance_factors, initializers, producers)
    if weighted:
        yield from _check_integers(node, 1, TensorProto.INT8, layer.weight, initializers)
    if layer.bias is not None:
        yield from _check_integers(node, 2, TensorProto.INT32, layer.bias, initializers)
    readers = consumers.get(node.output[0], [])
    if len(readers) != 1 or readers[0].op_type != _DEQUANT:
        yield Finding(node.name, f"one {_DEQUANT} on its output", f"{len(readers)} reader(s)")
        return
    parameter = initializers.get(readers[0].input[1]) if len(readers[0].input) == 2 else None
    deq = dequant_scale(activation.scale, np.asarray(layer.record.weight_scales, np.float32))
    if parameter is not None and not np.array_equal(numpy_helper.to_array(parameter), _float_bits(deq)):
        yield Finding(readers[0].name, "the bits of scale_d * scale_w", "other bits")


def _check_added_bias(
    node: ir.Node,
    form: QuantizedLayers,
    nodes: Mapping[str, onnx.NodeProto],
    initializers: Mapping[str, TensorProto],
) -> Iterator[Finding]:
    """A MatMul's bias stays in the float Add behind it: with the layer's shift, or that of a float layer as it was."""
    add, expected = bias_add(node), float_bias(node)
    if add is None or expected is None:
        return
    layer = form.layers.get(node.name or "")
    shift = None if layer is None else layer.shift
    meaning = "its constant as in the float model" if shift is None else "its constant with the shift of the layer"
    written = nodes.get(add.name or "")
    held = [] if written is None else [initializers[name] for name in written.input if name in initializers]
    if len(held) != 1:
        yield Finding(add.name or "", meaning, f"{len(held)} constants")
    elif not np.array_equal(
        numpy_helper.to_array(held[0]).reshape(-1), expected if shift is None else expected + shift
    ):
        yield Finding(add.name or "", meaning, "other numbers")


def _check_tensor(
    key: str,
    activation: ActivationParams,
    nodes: Mapping[str, onnx.NodeProto],
    producers: Mapping[str, onnx.NodeProto],
) -> Iterator[Finding]:
    name, _, index = key.rpartition(":")
    reader = nodes.get(name)
    anti_quant = None if reader is None else producers.get(reader.input[int(index)])
    if anti_quant is None or anti_quant.op_type != _ANTI_QUANT:
        yield Finding(key, f"its value from {_ANTI_QUANT}", "float")
        return
    yield from _check_numbers(anti_quant, "scale_d", np.float32(activation.scale), activation.zero_point)
    yield from _check_quant(key, producers.get(anti_quant.input[0]), activation)


def _check_quant(reader: str, quant: onnx.NodeProto | None, activation: ActivationParams) -> Iterator[Finding]:
    if quant is None or quant.op_type != _QUANT:
        yield Finding(reader, f"its input from {_QUANT}", "float")
        return
    yield from _check_numbers(quant, "fl32(1/scale_d)", reciprocal(activation.scale), activation.zero_point)


def _check_balance(
    reader: str,
    quant: onnx.NodeProto | None,
    factors: tuple[float, ...],
    initializers: Mapping[str, TensorProto],
    producers: Mapping[str, onnx.NodeProto],
) -> Iterator[Finding]:
    mul = None if quant is None else producers.get(quant.input[0])
    tensor = initializers.get(mul.input[1]) if mul is not None and mul.op_type == "Mul" else None
    held = None
    if tensor is not None and tensor.name.startswith(f"{reader}.tensor_balance_factor"):
        held = numpy_helper.to_array(tensor).reshape(-1)
    if held is None and factors:
        yield Finding(reader, f"a Mul by its balance factors before {_QUANT}", "none")
    elif held is not None and not factors:
        yield Finding(reader, f"no Mul by balance factors before {_QUANT}", "one")
    elif held is not None and not np.array_equal(held, np.float32(1) / np.array(factors, np.float32)):
        yield Finding(reader, "a Mul by fl32(1 / tensor_balance_factor)", "other factors")


def _check_numbers(node: onnx.NodeProto, meaning: str, scale: np.float32, offset: int) -> Iterator[Finding]:
    values = {attribute.name: attribute.f for attribute in node.attribute}
    if np.float32(values.get("scale", 0)) != scale:
        yield Finding(node.name, f"scale {meaning} = {scale!r}", str(values.get("scale")))
    if values.get("offset") != float(offset):
        yield Finding(node.name, f"offset {offset}", str(values.get("offset")))


def _check_integers(
    node: onnx.NodeProto,
    index: int,
    data_type: int,
    expected: np.ndarray[tuple[int, ...], np.dtype[np.signedinteger]],
    initializers: Mapping[str, TensorProto],
) -> Iterator[Finding]:
    tensor = initializers.get(node.input[index]) if len(node.input) > index else None
    role = "weight" if index == 1 else "bias"
    if tensor is None or tensor.data_type != data_type:
        yield Finding(node.name, f"a {role} initializer of type {TensorProto.DataType.Name(data_type)}", "another")
    elif not np.array_equal(numpy_helper.to_array(tensor), expected):
        yield Finding(node.name, f"the integers of its {role}", "others")


def _filled_with(pad: onnx.NodeProto, initializers: Mapping[str, TensorProto]) -> NDArray[Any]:
    """Return the value that a Pad fills with, an input or, in older opsets, an attribute."""
    tensor = initializers.get(pad.input[2]) if len(pad.input) > 2 else None
    return np.asarray(_attributes(pad).get("value", 0.0)) if tensor is None else numpy_helper.to_array(tensor)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _said(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _float_bits(scales: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the bits of float32 scales in the low halves of UINT64 numbers."""
    return np.array([int.from_bytes(np.float32(scale).tobytes(), "little") for scale in scales], np.uint64)
