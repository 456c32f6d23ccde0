"""A deploy file opened for reading: its graph indexed by name, its weights left on disk until they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from runner.errors import ModelError
from runner.inside import file_inside

QUANT, DEQUANT, ANTI_QUANT, WEIGHT_QUANT = "AscendQuant", "AscendDequant", "AscendAntiQuant", "AscendWeightQuant"
DEFAULT_DOMAINS = ("", "ai.onnx")
# What may stand between AscendQuant and the reader of its codes: AveragePool's own padding, and a maximum.
_CARRIES_CODES = ("Pad", "MaxPool")


@dataclass(frozen=True, slots=True, eq=False)
class DeployFile:
    """A model without its external data.

    Attributes:
        folder: where external data lies.
        tensors: initializers, and the values of Constant nodes, by name.
        producers: the node that makes a value.
        readers: the nodes that read a value, once for each time.
        outputs: names of the graph's outputs.
    """

    model: ModelProto
    folder: Path
    tensors: Mapping[str, TensorProto]
    producers: Mapping[str, NodeProto]
    readers: Mapping[str, tuple[NodeProto, ...]]
    outputs: frozenset[str]

    @property
    def nodes(self) -> Iterable[NodeProto]:
        """The nodes of the main graph, in order."""
        nodes: Iterable[NodeProto] = self.model.graph.node
        return nodes

    @property
    def opset(self) -> int | None:
        """The version of the default domain; None where the model does not say."""
        return next((entry.version for entry in self.model.opset_import if entry.domain in DEFAULT_DOMAINS), None)

    def tensor(self, node: NodeProto, index: int) -> TensorProto | None:
        """Return the constant that a node reads at an input; None for anything computed or absent."""
        return self.tensors.get(node.input[index]) if len(node.input) > index else None

    def producer(self, node: NodeProto, index: int = 0) -> NodeProto | None:
        """Return the node that makes what ``node`` reads at an input; None for constants, inputs and absent inputs."""
        return self.producers.get(node.input[index]) if len(node.input) > index else None

    def codes(self, node: NodeProto, index: int = 0) -> NodeProto | None:
        """Return the AscendQuant whose codes a node reads at an input; None where it reads something else."""
        producer = self.producer(node, index)
        if producer is not None and producer.op_type in _CARRIES_CODES:
            producer = self.producer(producer)
        return producer if producer is not None and producer.op_type == QUANT else None

    def code_readers(self, quant: NodeProto) -> Iterator[NodeProto]:
        """Yield the nodes that read an AscendQuant's codes, directly or behind what only carries them on."""
        for reader in self._readers(quant):
            yield from self._readers(reader) if reader.op_type in _CARRIES_CODES else (reader,)

    def _readers(self, node: NodeProto) -> tuple[NodeProto, ...]:
        return self.readers.get(node.output[0], ()) if node.output else ()

    def array(self, tensor: TensorProto) -> NDArray[Any] | None:
        """Return a constant's numbers; None where they are missing or do not fill its shape."""
        try:
            if tensor.data_location != TensorProto.EXTERNAL:
                return np.asarray(numpy_helper.to_array(tensor))
            place = external_place(tensor)
            with file_inside(self.folder, place["location"]).open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                stream.seek(int(place.get("offset", "0")))
                raw = stream.read(min(size, int(place["length"])) if "length" in place else size)
            inline = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=raw)
            return np.asarray(numpy_helper.to_array(inline))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None


def read_deploy(path: Path) -> DeployFile:
    """Open a deploy file.

    Raises:
        ModelError: it does not exist, or is no ONNX file.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ModelError(f"{path} {kind}; expected a deploy model, an ONNX file.")
    try:
        # One file of weights can be larger than the memory; what is looked at is a few numbers a layer.
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise ModelError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as ONNX: {error}. "
            "The file is truncated or of another kind; write or copy it again."
        ) from error
    if not model.graph.node:
        raise ModelError(f"{path} holds no ONNX graph (no nodes). Is it another kind of file?")
    return opened(model, path.parent)


def opened(model: ModelProto, folder: Path) -> DeployFile:
    """Return a model indexed by name.

    Args:
        model: with its external data, if any, still on disk.
        folder: where that lies.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    producers: dict[str, NodeProto] = {}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        producers.update(dict.fromkeys(filter(None, node.output), node))
        for name in filter(None, node.input):
            readers.setdefault(name, []).append(node)
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                tensors.update(dict.fromkeys(node.output, attribute.t))
    return DeployFile(
        model=model,
        folder=folder,
        tensors=tensors,
        producers=producers,
        readers={name: tuple(nodes) for name, nodes in readers.items()},
        outputs=frozenset(value.name for value in graph.output),
    )


def external_place(tensor: TensorProto) -> dict[str, str]:
    """Return where a tensor's numbers lie: ``location`` and, as text, ``offset`` and ``length``."""
    return {entry.key: entry.value for entry in tensor.external_data}


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of the bodies of its If, Loop and Scan nodes, at any depth."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from all_nodes(body)


def label(node: NodeProto) -> str:
    """Return how a node is called in a finding: its name, or what it is and makes."""
    return node.name or f"{node.op_type} that makes '{node.output[0] if node.output else ''}'"


def attribute_values(node: NodeProto, kind: AttributeProto.AttributeType) -> dict[str, Any]:
    """Return the values of those attributes of a node that are of one type; one that is a reference has none."""
    given = (a for a in node.attribute if a.type == kind and not a.ref_attr_name)
    return {a.name: onnx.helper.get_attribute_value(a) for a in given}


def type_name(tensor: TensorProto) -> str:
    """Return a tensor's number type as ONNX calls it."""
    known: Mapping[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return known.get(tensor.data_type, f"number type {tensor.data_type}")
