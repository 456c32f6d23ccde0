"""Constants that claim more values than their file holds, refused before a shape of a million axes is made of one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, TensorProto
from onnx.external_data_helper import uses_external_data

from runner.errors import ModelError

# The smallest numbers that a tensor packs take two bits.
_MOST_A_BYTE = 4


def check_tensors(proto: ModelProto, file: Path) -> None:
    """Refuse a model with a constant that is cut off; external data is looked at where it is read.

    Raises:
        ModelError: a constant's shape has more values than are stored.
    """
    for tensor in _tensors(proto):
        # The size of the message says it without taking the values out of it.
        stored = tensor.ByteSize() * _MOST_A_BYTE
        if math.prod(map(abs, tensor.dims)) > stored and not uses_external_data(tensor):
            raise ModelError(
                f"model.path: {file}: the constant '{tensor.name}' has the shape {list(tensor.dims)[:8]}, and fewer values are "
                "stored. The file is damaged; export or copy it again."
            )


def _tensors(proto: ModelProto) -> Iterator[TensorProto]:
    open_graphs: list[GraphProto | FunctionProto] = [proto.graph, *proto.functions]
    while open_graphs:
        graph = open_graphs.pop()
        if isinstance(graph, GraphProto):
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    yield attribute.t
                elif attribute.type == AttributeProto.GRAPH:
                    open_graphs.append(attribute.g)
                open_graphs += attribute.graphs
