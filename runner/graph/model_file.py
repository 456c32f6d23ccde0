"""ONNX files: read with a clear refusal, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from runner.errors import ModelError
from runner.external_data import refuse_outside
from runner.graph.endless import endless_loop
from runner.graph.map_outputs import without_maps
from runner.graph.naming import name_nodes
from runner.graph.other_kinds import refuse_other_kind
from runner.graph.spelling import spell_plainly
from runner.graph.whole_tensors import check_tensors
from runner.inside import OutsideError
from runner.printable import no_file

# protobuf refuses messages of 2 GiB; larger tensors go to a file beside the model.
_PROTOBUF_LIMIT = 2_000_000_000
_HASH_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class SourceModel:
    """A model as it was read, every node with a name of its own; where it came from, and the sha256 of its file.

    Attributes:
        changes: a sentence for each output that could not stay as it was.
    """

    graph: ir.Model
    path: Path
    sha256: str
    changes: tuple[str, ...] = ()


def load_model(path: str | os.PathLike[str]) -> SourceModel:
    """Read an ONNX file.

    Raises:
        ModelError: the file is missing, no ONNX model, cut off, or its external data is missing or not of its folder.
    """
    file = Path(path)
    require_file(file)
    try:
        model, changes = _read(file)
        if model.graph.num_nodes() == 0 or "" not in model.opset_imports:
            raise ModelError(
                f"model.path: {file} holds no ONNX graph (no nodes or no opset). Is it another kind of file?"
            )
        _check_external_data(model, file)
        # onnxruntime, given bytes, refuses data outside the working directory; and what is written must not point back here.
        ir.external_data.load_to_model(model)
        endless = endless_loop(model)
        if endless is not None:
            raise ModelError(
                f"model.path: {file}: the Loop '{endless.name or endless.outputs[0].name}' never ends: its condition stays "
                "true, and its steps are not bounded. Is the model damaged? Else export it with a number of steps."
            )
        # onnxruntime refuses a model in which two nodes share a name.
        name_nodes(model)
    except OutsideError as error:
        raise ModelError(f"model.path: {file}: {error}. Copy its data into the model's folder.") from error
    except (DecodeError, ir.serde.SerdeError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(
            f"model.path: {file} ({file.stat().st_size} bytes) cannot be read as ONNX: {_first_line(error)}. "
            "The file is truncated or of another kind; export or copy it again."
        ) from error
    return SourceModel(model, file, file_sha256(file), changes)


def require_file(file: Path) -> None:
    """Refuse at once what is no file, or plainly one of another tool's.

    Raises:
        ModelError: it is; says how an ONNX file is had.
    """
    if not file.is_file():
        raise ModelError(f"model.path: {no_file(file)}; expected an ONNX file. Set model.path=FILE.onnx.")
    refuse_other_kind(file)


def _read(file: Path) -> tuple[ir.Model, tuple[str, ...]]:
    """Return the model, and what was done to outputs that onnx-ir has no type for."""
    proto = onnx.load(file, load_external_data=False)
    refuse_outside(proto, file.parent)
    check_tensors(proto, file)
    spell_plainly(proto, file)
    changes: list[str] = []
    try:
        model = ir.from_proto(proto)
    except ir.serde.SerdeError:
        changes = without_maps(proto)
        if not changes:
            raise
        model = ir.from_proto(proto)
    ir.external_data.set_base_dir(model.graph, file.parent)
    if _out_of_order(model.graph):
        model.graph.sort()
    return model, tuple(changes)


def _out_of_order(graph: ir.Graph) -> bool:
    """Return whether a node reads what a later one makes, as converters to float16 leave it; onnxruntime does not mind."""
    later = set(graph)
    for node in graph:
        if any(value is not None and value.producer() in later for value in node.inputs):
            return True
        later.discard(node)
    return False


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def model_bytes(model: ir.Model) -> bytes:
    """Return the serialized model; below 2 GB only."""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def weights_size(model: ir.Model) -> int:
    """Return the bytes that the model's initializers take."""
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def fits_one_file(model: ir.Model) -> bool:
    """Return whether the model can be serialized into one protobuf message."""
    return weights_size(model) < _PROTOBUF_LIMIT


def _check_external_data(model: ir.Model, file: Path) -> None:
    for value in (value for graph in model.graphs() for value in graph.initializers.values()):
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and not Path(tensor.path).is_file():
            raise ModelError(
                f"model.path: {file} keeps the weight '{value.name}' in {tensor.path}, which does not exist. "
                "Copy the external data file beside the model."
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
