"""What ATC asks of a model as a whole: one opset, fixed sizes, nodes in order, data that is there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Sized
from pathlib import PurePosixPath

from onnx import TensorProto, ValueInfoProto

from runner.inside import OutsideError, file_inside
from runner.lint.deploy_file import DEFAULT_DOMAINS, QUANT, DeployFile, all_nodes, external_place, label
from runner.lint.finding import Finding
from runner.wording import listed, say

# Expected of an input of any size: the ``atc`` command fixes it.
OPEN_SIZES = say("fixed sizes, or atc --input_shape to fix them")


def check_whole_model(file: DeployFile) -> Iterator[Finding]:
    """Yield what ATC would refuse of the model around its quantized layers."""
    yield from _check_opset(file)
    quantized = any(node.op_type == QUANT for node in file.nodes)
    if not quantized:
        yield Finding(
            "model", say("at least one {QUANT}", QUANT=QUANT), say("none: a float model, or another tool's"), "warning"
        )
    for value in file.model.graph.input:
        if value.name not in file.tensors:
            yield from _check_sizes(value)
    yield from _check_order(file)
    yield from _check_references(file)
    for tensor in file.tensors.values():
        yield from _check_data(file, tensor)


def _check_opset(file: DeployFile) -> Iterator[Finding]:
    if file.opset is None:
        yield Finding("model", "an opset import of the default domain", "none")
    # With a second import ATC does not know of which one a node is that names no domain.
    imports = {entry.domain: entry.version for entry in file.model.opset_import}
    nameless = [label(node) for node in all_nodes(file.model.graph) if not node.domain]
    if len(imports) < 2 or not nameless:
        return
    named = ", ".join(f"'{domain}' {version}" for domain, version in imports.items())
    others = {node.domain for node in all_nodes(file.model.graph)} - {*DEFAULT_DOMAINS}
    unused = sorted(domain for domain in imports if domain not in DEFAULT_DOMAINS and domain not in others)
    yield Finding(
        "model",
        say(
            "one opset import, as {count} nodes name no domain, the first '{nameless}' (ATC's error E16005)",
            count=len(nameless),
            nameless=nameless[0],
        ),
        f"{len(imports)}: {named}",
        "unsupported",
        say("take out the import of {unused}, of which no node is", unused=listed(unused))
        if unused
        else say("write every node in the default domain, imported once"),
    )


def _check_sizes(value: ValueInfoProto) -> Iterator[Finding]:
    tensor = value.type.tensor_type
    sizes = [size.dim_value if size.dim_value > 0 else size.dim_param or "?" for size in tensor.shape.dim]
    if not tensor.HasField("shape") or any(isinstance(size, str) for size in sizes):
        got = f"[{', '.join(map(str, sizes))}]" if tensor.HasField("shape") else "no shape"
        yield Finding(value.name, OPEN_SIZES, got, "warning")


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


def _check_references(file: DeployFile) -> Iterator[Finding]:
    for node in all_nodes(file.model.graph):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                got = f"a reference to the attribute '{attribute.ref_attr_name}' of a function, and it is in none"
                yield Finding(label(node), f"a value of its attribute {attribute.name}", got)


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
    try:
        path = file_inside(file.folder, location)
    except OutsideError as error:
        yield Finding(tensor.name, "its external data in a file beside the model", f"'{location}', which {error}")
        return
    if not path.is_file():
        yield Finding(tensor.name, f"its external data in '{location}' beside the model", "no such file")
        return
    numbers = [place.get("offset", "0"), place.get("length", "0")]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        got = " and ".join(repr(number) for number in numbers)
        yield Finding(tensor.name, "whole numbers as offset and length of its external data", got)
        return
    offset = int(numbers[0])
    length = int(numbers[1]) if "length" in place else path.stat().st_size - offset
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
