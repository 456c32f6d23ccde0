"""What ATC asks of a model as a whole: opset, domains, operators, fixed sizes, data that is there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Sized
from pathlib import PurePosixPath

import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto

from runner.lint.deploy_file import (
    ANTI_QUANT,
    DEFAULT_DOMAINS,
    DEQUANT,
    QUANT,
    WEIGHT_QUANT,
    DeployFile,
    all_nodes,
    external_place,
    label,
)
from runner.lint.finding import Finding

# ATC registers its Ascend operators for these versions of the default domain.
_OPSETS = (8, 22)
_ASCEND = (QUANT, DEQUANT, ANTI_QUANT, WEIGHT_QUANT)
_QUANTIZED_ONNX = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
)


def check_whole_model(file: DeployFile) -> Iterator[Finding]:
    """Yield what ATC would refuse of the model around its quantized layers."""
    yield from _check_opset(file)
    quantized = any(node.op_type == QUANT for node in file.nodes)
    if not quantized:
        yield Finding("model", f"at least one {QUANT}", "none: a float model, or another tool's", "warning")
    for value in file.model.graph.input:
        if value.name not in file.tensors:
            yield from _check_sizes(value)
    main = {id(node) for node in file.nodes}
    for node in all_nodes(file.model.graph):
        yield from _check_operator(node, file.opset, inside=id(node) not in main)
    yield from _check_order(file)
    for tensor in file.tensors.values():
        yield from _check_data(file, tensor)


def _check_opset(file: DeployFile) -> Iterator[Finding]:
    opset = file.opset
    if opset is None:
        yield Finding("model", "an opset import of the default domain", "none")
    elif not _OPSETS[0] <= opset <= _OPSETS[1]:
        low, high = _OPSETS
        yield Finding("model", f"an opset from {low} to {high}, for which ATC knows {QUANT}", str(opset), "unsupported")
    for entry in file.model.opset_import:
        if entry.domain not in DEFAULT_DOMAINS:
            yield Finding("model", "no opset import but the default domain's", entry.domain, "warning")


def _check_sizes(value: ValueInfoProto) -> Iterator[Finding]:
    tensor = value.type.tensor_type
    sizes = [size.dim_value if size.dim_value > 0 else size.dim_param or "?" for size in tensor.shape.dim]
    if not tensor.HasField("shape") or any(isinstance(size, str) for size in sizes):
        got = f"[{', '.join(map(str, sizes))}]" if tensor.HasField("shape") else "no shape"
        yield Finding(value.name, "fixed sizes, or atc --input_shape to fix them", got, "warning")


def _check_operator(node: NodeProto, opset: int | None, *, inside: bool) -> Iterator[Finding]:
    ascend = node.op_type in _ASCEND
    if node.domain not in DEFAULT_DOMAINS:
        yield Finding(label(node), "the default domain", node.domain, "fault" if ascend else "unsupported")
        return
    if ascend:
        if inside:
            yield Finding(label(node), f"{node.op_type} in the main graph", "inside the body of another node")
        return
    if node.op_type in _QUANTIZED_ONNX:
        yield Finding(label(node), "Ascend operators alone to quantize", node.op_type, "unsupported")
        return
    if opset is None:
        return
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        yield Finding(label(node), f"an operator of ONNX opset {opset}", node.op_type, "unsupported")
        return
    if schema.deprecated:
        yield Finding(
            label(node), f"an operator of ONNX opset {opset}", f"{node.op_type}, which is gone", "unsupported"
        )
    elif not schema.min_input <= len(node.input) <= schema.max_input:
        expected = f"{schema.min_input} to {schema.max_input} inputs, as {node.op_type} has"
        yield Finding(label(node), expected, str(len(node.input)), "unsupported")


def _check_order(file: DeployFile) -> Iterator[Finding]:
    graph = file.model.graph
    made = {value.name for value in graph.input} | set(file.tensors) | {t.values.name for t in graph.sparse_initializer}
    for node in file.nodes:
        for name in filter(None, node.input):
            if name not in made:
                got = "made later" if name in file.producers else "made by no node"
                yield Finding(label(node), f"its input '{name}' from a node before it", got)
        for name in filter(None, node.output):
            if name in made and node.op_type != "Constant":
                yield Finding(label(node), f"a name of its own for its output '{name}'", "one that another value has")
            made.add(name)
    for name in sorted(file.outputs - made):
        yield Finding("model", f"a node that makes the output '{name}'", "none")


def _check_data(file: DeployFile, tensor: TensorProto) -> Iterator[Finding]:
    count, size = math.prod(tensor.dims), _stored_size(tensor.data_type)
    if tensor.data_type == TensorProto.UNDEFINED:
        yield Finding(tensor.name, "a number type", "none")
    if size is None:
        return
    if tensor.data_location != TensorProto.EXTERNAL:
        held = len(tensor.raw_data) / size if tensor.HasField("raw_data") else _typed_numbers(tensor)
        if held != count:
            yield Finding(tensor.name, f"{count} numbers for shape {list(tensor.dims)}", f"{held:g}")
        return
    place = external_place(tensor)
    location = place.get("location", "")
    # A file elsewhere on the disk is no part of the model, and does not travel with it.
    if not location or PurePosixPath(location).is_absolute() or ".." in PurePosixPath(location).parts:
        yield Finding(tensor.name, "its external data in a file beside the model", location or "no location")
        return
    path = file.folder / location
    if not path.is_file():
        yield Finding(tensor.name, f"its external data in '{location}' beside the model", "no such file")
        return
    offset = int(place.get("offset", "0"))
    length = int(place["length"]) if "length" in place else path.stat().st_size - offset
    if length != count * size:
        yield Finding(tensor.name, f"{count * size} bytes for shape {list(tensor.dims)}", f"{length} in '{location}'")
    elif offset + length > path.stat().st_size:
        expected = f"'{location}' of at least {offset + length} bytes"
        yield Finding(tensor.name, expected, f"{path.stat().st_size}: it is cut off")


def _typed_numbers(tensor: TensorProto) -> int:
    """Return how many numbers lie in a tensor's typed lists; one of them is in use."""
    lists: Sequence[Sized] = (
        tensor.float_data,
        tensor.int32_data,
        tensor.int64_data,
        tensor.double_data,
        tensor.uint64_data,
    )
    return sum(len(numbers) for numbers in lists)


def _stored_size(data_type: int) -> int | None:
    """Return the bytes of one number; None for types that are packed or of no fixed size."""
    sizes: dict[int, int] = {
        **dict.fromkeys((TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL), 1),
        **dict.fromkeys((TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT16, TensorProto.UINT16), 2),
        **dict.fromkeys((TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT32), 4),
        **dict.fromkeys((TensorProto.DOUBLE, TensorProto.INT64, TensorProto.UINT64), 8),
    }
    return sizes.get(data_type)
