"""One spelling for what a file may say in two ways: the default domain, constants that are stored sparsely, open sizes.

``ai.onnx`` is another name of the default domain, whose own is empty. A sparse constant holds the values that are not zero
and their places, linear or by axes; it means the same dense tensor, which is what everything here reads and writes. A size of
-1, as Paddle's exporter writes it, is one left open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from runner.errors import ModelError
from runner.graph.utf8_names import make_utf8

_ALIAS = "ai.onnx"
# Eight thousand million bytes: no such weight fits into a job's memory several times over, which calibrating it takes.
LARGEST_DENSE = 8_000_000_000


def spell_plainly(proto: ModelProto, file: Path) -> None:
    """Call the default domain by its own name, in bodies and functions too, names by UTF-8, make sparse constants dense.

    Open sizes become open, and what says which devices share the work goes.

    Changes the model it is given.

    Args:
        proto: as it was read, its external data still in its own files.
        file: where it was read from, for messages and to find external data.

    Raises:
        ModelError: two versions of the default domain are named, or a sparse constant is malformed or far too large.
    """
    make_utf8(proto)
    proto.ClearField("configuration")
    _name_default_domain(proto, file)
    for function in proto.functions:
        _name_default_domain(function, file)
        function.domain = _plain(function.domain)
    for graph in _graphs(proto):
        for node in graph.node:
            node.domain = _plain(node.domain)
            # Where several devices share the work, which no file of ours does; empty ones cannot be written again.
            node.ClearField("device_configurations")
            for attribute in node.attribute if node.op_type == "Constant" else ():
                _densify_attribute(node, attribute, file)
        if isinstance(graph, GraphProto):
            _open_sizes(graph)
            if graph is not proto.graph:
                _forget_shapes(graph)
            graph.initializer.extend(_dense(tensor, file) for tensor in graph.sparse_initializer)
            del graph.sparse_initializer[:]


def _open_sizes(graph: GraphProto) -> None:
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for place, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_value") and size.dim_value < 0:
                size.dim_param = f"{value.name}_{place}"


def _forget_shapes(body: GraphProto) -> None:
    """Forget what a body says of its outputs' shapes: nobody checks that, and what is built upon it would be refused."""
    for value in body.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _plain(domain: str) -> str:
    return "" if domain == _ALIAS else domain


def _name_default_domain(holder: ModelProto | FunctionProto, file: Path) -> None:
    entries = list(holder.opset_import)
    versions = {entry.version for entry in entries if _plain(entry.domain) == ""}
    if len(versions) > 1:
        whose = f"function '{holder.name}'" if isinstance(holder, FunctionProto) else "model"
        raise ModelError(
            f"model.path: {file}: the {whose} imports the default domain in the versions "
            f"{' and '.join(map(str, sorted(versions)))}, as '' and as '{_ALIAS}', which are one; expected one version. "
            "Take the import out that its operators are not of."
        )
    if any(entry.domain == _ALIAS for entry in entries):
        del holder.opset_import[:]
        holder.opset_import.append(onnx.helper.make_opsetid("", next(iter(versions))))
        holder.opset_import.extend(entry for entry in entries if _plain(entry.domain) != "")


def _graphs(proto: ModelProto) -> Iterator[GraphProto | FunctionProto]:
    """Yield the main graph, the functions, and the bodies in either at any depth."""
    open_graphs: list[GraphProto | FunctionProto] = [proto.graph, *proto.functions]
    while open_graphs:
        graph = open_graphs.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                open_graphs += [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs


def _densify_attribute(node: NodeProto, attribute: AttributeProto, file: Path) -> None:
    if attribute.type != AttributeProto.SPARSE_TENSOR:
        return
    sparse = onnx.SparseTensorProto()
    sparse.CopyFrom(attribute.sparse_tensor)
    sparse.values.name = sparse.values.name or (node.output[0] if node.output else "")
    attribute.CopyFrom(onnx.helper.make_attribute("value", _dense(sparse, file)))


def _dense(sparse: onnx.SparseTensorProto, file: Path) -> TensorProto:
    name, shape = sparse.values.name, tuple(sparse.dims)
    where = f"model.path: {file}: the sparse constant '{name}' of shape {list(shape)}"
    size = math.prod(shape) * onnx.helper.tensor_dtype_to_np_dtype(sparse.values.data_type).itemsize
    if size > LARGEST_DENSE:
        raise ModelError(
            f"{where} takes {size / 1e9:,.0f} GB when it is written out, and int8 layers have no sparse form; "
            f"expected at most {LARGEST_DENSE / 1e9:,.0f} GB. Keep what reads it out of the model."
        )
    values, places = _array(sparse.values, file).reshape(-1), np.asarray(_array(sparse.indices, file), np.int64)
    if places.ndim == 2 and places.shape == (values.size, len(shape)) and _within(places, shape):
        place = tuple(places.T)
    elif places.ndim == 1 and places.size == values.size and _within(places[:, None], (math.prod(shape),)):
        place = np.unravel_index(places, shape)
    else:
        raise ModelError(
            f"{where} has {values.size} values at {list(places.shape)} indices; expected one index inside the shape for each, "
            "linear or one an axis. Export the model again."
        )
    dense = np.zeros(shape, values.dtype)
    dense[place] = values
    return numpy_helper.from_array(dense, name)


def _array(tensor: TensorProto, file: Path) -> NDArray[np.generic]:
    if uses_external_data(tensor):
        load_external_data_for_tensor(tensor, str(file.parent))
    return np.asarray(numpy_helper.to_array(tensor))


def _within(places: NDArray[np.int64], shape: tuple[int, ...]) -> bool:
    return bool(np.all(places >= 0) and np.all(places < np.asarray(shape, np.int64)))
