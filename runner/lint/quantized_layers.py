"""Quantized layers and what must stand around them: AscendQuant -> layer on integers -> AscendDequant.

A node is a quantized layer as soon as one of the three says so: it reads codes, has an int8 weight, or feeds an
AscendDequant; then all three must hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto

from runner.lint.deploy_file import (
    ANTI_QUANT,
    DEQUANT,
    QUANT,
    WEIGHT_QUANT,
    DeployFile,
    attribute_values,
    label,
    type_name,
)
from runner.lint.finding import Finding

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_LAYER_TYPES = (*_CONVOLUTIONS, "Gemm", "MatMul", "AveragePool")
_FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)
# fl32(1/scale) times scale is off 1 by half a unit in the last place at most.
_RECIPROCAL_TOLERANCE = 1e-6
# What AMCT calls the constant of a balanced layer's Mul, behind the layer's name.
_BALANCE = "tensor_balance_factor"
# Axes of the weight that the deploy format takes.
_WEIGHT_AXES = {"Conv": (3, 4, 5), "ConvTranspose": (4,), "Gemm": (2,), "MatMul": (2, 3)}


def check_layers(file: DeployFile) -> Iterator[Finding]:
    """Yield what is wrong with the quantized layers of the main graph and with what reads or makes codes."""
    for node in file.nodes:
        if node.op_type == QUANT:
            yield from _check_code_readers(file, node)
        elif node.op_type == DEQUANT:
            yield from _check_summed(file, node)
        elif node.op_type == ANTI_QUANT:
            yield from _check_pair(file, node)
        elif node.op_type in _LAYER_TYPES and _is_quantized(file, node):
            yield from _check_layer(file, node)


def _is_quantized(file: DeployFile, node: NodeProto) -> bool:
    weight = _weight(file, node)
    return (
        file.codes(node) is not None
        or (weight is not None and weight.data_type == TensorProto.INT8)
        or any(reader.op_type == DEQUANT for reader in file.readers.get(_sums(file, node), ()))
    )


def _check_layer(file: DeployFile, node: NodeProto) -> Iterator[Finding]:
    quant = file.codes(node)
    if quant is None:
        yield Finding(label(node), f"its input from {QUANT}", _made_by(file, node))
    yield from _check_padding(file, node, quant)
    channels = None
    if node.op_type == "MatMul" and file.codes(node, 1) is not None:
        yield from _check_symmetric(node, (quant, file.codes(node, 1)), "a product of two computed values")
    elif node.op_type != "AveragePool":
        weight = _weight(file, node)
        if weight is None or weight.data_type != TensorProto.INT8:
            got = "a computed value" if weight is None else type_name(weight)
            yield Finding(label(node), "a weight initializer of type INT8", got)
        if weight is not None:
            axes = _WEIGHT_AXES[node.op_type]
            if len(weight.dims) not in axes:
                yield Finding(label(node), f"a weight of {' or '.join(map(str, axes))} axes", f"{list(weight.dims)}")
                return
            channels = _channels(node, list(weight.dims))
            yield from _check_bias(file, node, channels)
    yield from _check_limits(file, node, quant)
    yield from _check_balance(file, node, quant)
    yield from _check_dequant(file, node, channels)


def _check_dequant(file: DeployFile, node: NodeProto, channels: int | None) -> Iterator[Finding]:
    sums = _sums(file, node)
    readers = file.readers.get(sums, ())
    if sums in file.outputs:
        yield Finding(label(node), f"one {DEQUANT} on its output", f"the graph's output '{sums}'")
    if len(readers) != 1 or readers[0].op_type != DEQUANT:
        got = ", ".join(f"{reader.op_type} '{label(reader)}'" for reader in readers) or "no reader"
        yield Finding(label(node), f"one {DEQUANT} on its output", got)
        return
    parameter = file.tensor(readers[0], 1)
    if parameter is None or len(parameter.dims) != 1:
        return
    count = parameter.dims[0]
    if node.op_type not in _CONVOLUTIONS and count != 1:
        yield Finding(label(readers[0]), f"a parameter of 1 scale, as {node.op_type} has one", f"{count} scales")
    elif count not in (1, channels) and channels is not None:
        yield Finding(label(readers[0]), f"a parameter of 1 or {channels} scales, one an output channel", f"{count}")


def _check_bias(file: DeployFile, node: NodeProto, channels: int) -> Iterator[Finding]:
    if node.op_type == "MatMul" or len(node.input) < 3 or not node.input[2]:
        return
    bias = file.tensor(node, 2)
    expected = f"a bias initializer of type INT32 and shape [{channels}]"
    if bias is None:
        yield Finding(label(node), expected, "a computed value")
    elif bias.data_type != TensorProto.INT32 or list(bias.dims) != [channels]:
        yield Finding(label(node), expected, f"{type_name(bias)} {list(bias.dims)}")


def _check_limits(file: DeployFile, node: NodeProto, quant: NodeProto | None) -> Iterator[Finding]:
    """Yield attributes of a layer that its int8 form on the device does not know."""
    dilations = _integers(node, "dilations")
    weight = _weight(file, node)
    if node.op_type == "Conv" and weight is not None and len(weight.dims) == 5:
        yield from _check_symmetric(node, (quant,), "a convolution over 3 axes")
        dilations = dilations[:1]
    undilated = node.op_type in ("ConvTranspose", "AveragePool") or (weight is not None and len(weight.dims) == 5)
    if undilated and any(dilation != 1 for dilation in dilations):
        yield Finding(label(node), "dilations of 1", str(_integers(node, "dilations")))
    if node.op_type == "AveragePool" and len(_integers(node, "kernel_shape")) != 2:
        yield Finding(label(node), "a window over 2 axes", str(_integers(node, "kernel_shape")))
    if node.op_type == "Gemm":
        numbers = attribute_values(node, AttributeProto.FLOAT) | attribute_values(node, AttributeProto.INT)
        # Without a bias beta multiplies nothing.
        factors = ("transA", "alpha", "beta") if len(node.input) > 2 else ("transA", "alpha")
        for name in factors:
            expected = 0 if name == "transA" else 1
            if numbers.get(name, expected) != expected:
                yield Finding(label(node), f"{name} {expected}", f"{numbers[name]:g}")
        if numbers.get("transB", 0):
            yield Finding(label(node), "transB 0, the weight stored as [K, N]", "transB 1", "warning")


def _check_padding(file: DeployFile, node: NodeProto, quant: NodeProto | None) -> Iterator[Finding]:
    """Yield a Pad between AscendQuant and its reader that does not fill with the code of zero."""
    pad = file.producer(node)
    if quant is None or pad is None or pad.op_type != "Pad":
        return
    offset = attribute_values(quant, AttributeProto.FLOAT).get("offset")
    tensor = file.tensor(pad, 2)
    filled = None if tensor is None else file.array(tensor)
    if filled is None:
        filled = np.asarray(attribute_values(pad, AttributeProto.FLOAT).get("value", 0.0))
    if offset is not None and not np.all(filled == offset):
        expected = f"padding with the offset {offset:g}, the code of zero"
        yield Finding(label(pad), expected, f"{float(filled.flat[0]):g}", "warning")


def _check_balance(file: DeployFile, node: NodeProto, quant: NodeProto | None) -> Iterator[Finding]:
    """Yield what is wrong with the Mul of the DMQ balancer, which divides each input channel by a factor of its own."""
    mul = None if quant is None else file.producer(quant)
    factors = file.tensor(mul, 1) if mul is not None and mul.op_type == "Mul" else None
    if mul is None or factors is None or not mul.input[1].startswith(f"{node.name}.{_BALANCE}"):
        return
    values, weight = file.array(factors), _weight(file, node)
    if values is not None and not np.all(np.isfinite(values) & (values > 0)):
        yield Finding(label(mul), "positive finite factors", f"{values[~(np.isfinite(values) & (values > 0))][0]:g}")
    channels = None if weight is None else _input_channels(node, list(weight.dims))
    if channels is not None and math.prod(factors.dims) != channels:
        yield Finding(label(mul), f"{channels} factors, one an input channel", str(math.prod(factors.dims)))


def _check_symmetric(node: NodeProto, quants: Sequence[NodeProto | None], kind: str) -> Iterator[Finding]:
    for quant in quants:
        offset = 0 if quant is None else attribute_values(quant, AttributeProto.FLOAT).get("offset", 0)
        if offset != 0:
            yield Finding(label(node), f"offset 0 before {kind}", f"{offset:g}")


def _check_code_readers(file: DeployFile, quant: NodeProto) -> Iterator[Finding]:
    source = quant.input[0] if quant.input else ""
    known = {v.name: v.type.tensor_type.elem_type for v in (*file.model.graph.input, *file.model.graph.value_info)}
    if known.get(source, 0) not in (*_FLOAT_TYPES, 0):
        got = TensorProto.DataType.Name(known[source])
        yield Finding(label(quant), "a float input", got)
    for reader in file.code_readers(quant):
        if reader.op_type == ANTI_QUANT or (reader.op_type in _LAYER_TYPES and _reads_as_data(file, reader, quant)):
            continue
        expected = f"a quantized layer or {ANTI_QUANT} to read the codes of '{label(quant)}'"
        yield Finding(label(reader), expected, reader.op_type)


def _reads_as_data(file: DeployFile, reader: NodeProto, quant: NodeProto) -> bool:
    return file.codes(reader) is quant or (reader.op_type == "MatMul" and file.codes(reader, 1) is quant)


def _check_summed(file: DeployFile, dequant: NodeProto) -> Iterator[Finding]:
    source = file.producer(dequant)
    if source is not None and source.op_type == "Add":
        product = file.producer(source)
        source = product if product is not None and _sums(file, product) == dequant.input[0] else source
    if source is None or source.op_type not in _LAYER_TYPES:
        yield Finding(label(dequant), "its first input from a quantized layer", _made_by(file, dequant))


def _check_pair(file: DeployFile, anti_quant: NodeProto) -> Iterator[Finding]:
    """Yield where AscendAntiQuant does not undo the AscendQuant before it."""
    quant = file.codes(anti_quant)
    if quant is None:
        yield Finding(label(anti_quant), f"its input from {QUANT}", _made_by(file, anti_quant))
        return
    before, after = attribute_values(quant, AttributeProto.FLOAT), attribute_values(anti_quant, AttributeProto.FLOAT)
    if "scale" in before and "scale" in after and not abs(before["scale"] * after["scale"] - 1) < _RECIPROCAL_TOLERANCE:
        expected = (
            f"scale {1 / before['scale']:g}, whose reciprocal '{label(quant)}' has" if before["scale"] else "another"
        )
        yield Finding(label(anti_quant), expected, f"{after['scale']:g}")
    if "offset" in before and "offset" in after and before["offset"] != after["offset"]:
        yield Finding(label(anti_quant), f"offset {before['offset']:g} as in '{label(quant)}'", f"{after['offset']:g}")


def _weight(file: DeployFile, node: NodeProto) -> TensorProto | None:
    """Return a layer's constant weight, looked up through AscendWeightQuant of older files."""
    if node.op_type == "AveragePool" or len(node.input) < 2:
        return None
    producer = file.producer(node, 1)
    return (
        file.tensor(producer, 0) if producer is not None and producer.op_type == WEIGHT_QUANT else file.tensor(node, 1)
    )


def _sums(file: DeployFile, node: NodeProto) -> str:
    """Return the name of a layer's sums; AMCT may dequantize a MatMul behind the Add of its int32 bias."""
    sums = str(node.output[0]) if node.output else ""
    readers = file.readers.get(sums, ())
    if node.op_type == "MatMul" and len(readers) == 1 and readers[0].op_type == "Add" and sums not in file.outputs:
        bias = file.tensor(readers[0], 1)
        if bias is not None and bias.data_type == TensorProto.INT32 and len(bias.dims) == 1:
            return str(readers[0].output[0]) if readers[0].output else ""
    return sums


def _channels(node: NodeProto, dims: list[int]) -> int:
    integers = attribute_values(node, AttributeProto.INT)
    if node.op_type == "Gemm":
        return dims[0] if integers.get("transB", 0) else dims[1]
    if node.op_type == "ConvTranspose":
        return dims[1] * int(integers.get("group", 1))
    return dims[0] if node.op_type == "Conv" else dims[-1]


def _input_channels(node: NodeProto, dims: list[int]) -> int:
    integers = attribute_values(node, AttributeProto.INT)
    if node.op_type == "Conv":
        return dims[1] * int(integers.get("group", 1))
    if node.op_type == "Gemm":
        return dims[1] if integers.get("transB", 0) else dims[0]
    return dims[0] if node.op_type == "ConvTranspose" else dims[-2]


def _integers(node: NodeProto, name: str) -> list[int]:
    return [int(value) for value in attribute_values(node, AttributeProto.INTS).get(name, [])]


def _made_by(file: DeployFile, node: NodeProto) -> str:
    """Return where the first input of a node comes from."""
    producer = file.producer(node)
    if not node.input:
        return "none"
    return f"'{node.input[0]}'" if producer is None else f"{producer.op_type} '{label(producer)}'"
