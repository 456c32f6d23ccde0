"""Where an ONNX model's external data may lie: in regular files of the model's own folder, and nowhere else.

A model from somewhere else names its files itself. One that named others would read what it has no business with, a device that
never ends, or a pipe that nobody writes to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, SparseTensorProto, TensorProto

from runner.inside import OutsideError, file_inside


def external_location(tensor: TensorProto) -> str | None:
    """Return the name of the file that holds a tensor's numbers; None where the model itself does."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def external_files(model: ModelProto) -> set[str]:
    """Return the names of the files that hold a model's numbers beside it."""
    return {location for tensor in _tensors(model) if (location := external_location(tensor))}


def refuse_outside(model: ModelProto, folder: Path) -> None:
    """Refuse a model with a tensor anywhere in it, bodies and functions too, whose numbers are none of the folder's.

    Raises:
        OutsideError: names the tensor and the file.
    """
    checked: dict[str, None] = {}
    for tensor in _tensors(model):
        location = external_location(tensor)
        if location is None or location in checked:
            continue
        try:
            file_inside(folder, location)
        except OutsideError as error:
            raise OutsideError(
                f"the tensor '{tensor.name}' is kept in '{location}', which {error}; expected a file beside the model"
            ) from error
        checked[location] = None


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    graphs: list[GraphProto | FunctionProto] = [model.graph, *model.functions]
    for training in model.training_info:
        graphs += [training.initialization, training.algorithm]
    while graphs:
        graph = graphs.pop()
        if isinstance(graph, GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from _parts(sparse)
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        if isinstance(graph, FunctionProto):
            attributes += graph.attribute_proto
        for attribute in attributes:
            yield from _of_attribute(attribute)
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs += attribute.graphs


def _of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    if attribute.HasField("sparse_tensor"):
        yield from _parts(attribute.sparse_tensor)
    for sparse in attribute.sparse_tensors:
        yield from _parts(sparse)


def _parts(sparse: SparseTensorProto) -> Iterator[TensorProto]:
    yield sparse.values
    yield sparse.indices
