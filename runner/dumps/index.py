"""``index.json``: which files lie in a folder of intermediate values, what is in each, and where a dump has the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from runner.dumps.names import Side
from runner.errors import RecordError
from runner.plain_values import misfit
from runner.printable import escaped_json
from runner.spreadsheet import harmless

INDEX, TABLE = "index.json", "index.csv"
# The version of the format: raise it when a reader of today would misread it.
FORMAT = 1

# A model's input; what AscendQuant reads; that multiplied by the layer's balance; its codes; the layer's whole sums; what
# AscendDequant, AscendAntiQuant or a float layer gives; a model's output.
Kind = Literal["model_input", "input", "balanced", "codes", "sums", "output", "model_output"]
_COLUMNS = (
    "item", "layer", "op_type", "int8", "tensor", "node", "shape", "dtype", "scale", "zero_point", "cosine", "sqnr_db",
    "file", "float_file",
)  # fmt: skip
_SCALES_SHOWN = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dump has a tensor: as an input or output of a node of the deploy file."""

    node: str
    side: Side
    index: int


@dataclass(frozen=True, slots=True)
class IndexedTensor:
    """One tensor of one item.

    Attributes:
        item: its number, from 0.
        layer: that it belongs to; ``node:input`` of a tensor that is rounded on its way into a node; the name of a model's
            input or output.
        op_type: of the layer, empty for a model's input or output.
        int8: whether the layer is in int8.
        tensor: what it is of the layer.
        places: where a dump has it, the node that makes it first.
        shape: of the tensor.
        dtype: as numpy calls it.
        scale: of integers, one or one a channel (``real = (integer - zero_point) * scale``); empty for real values.
        zero_point: of codes.
        file: of the values that the deploy file gives, relative to the folder.
        float_file: of the float model's values, None where it has no such tensor.
        cosine: of the angle between both, in real numbers; None without a float counterpart, or where a value is not finite.
        sqnr_db: ``10 log10(sum f^2 / sum (f-q)^2)`` of both, likewise; None also where they are equal.
        equal: whether both are equal.
    """

    item: int
    layer: str
    op_type: str
    int8: bool
    tensor: Kind
    places: tuple[Place, ...]
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...]
    zero_point: int | None
    file: str
    float_file: str | None
    cosine: float | None
    sqnr_db: float | None
    equal: bool


@dataclass(frozen=True, slots=True)
class IndexedItem:
    """An item: its place in the dataset, and what the user calls it."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class DumpIndex:
    """What lies in a folder of intermediate values.

    Attributes:
        model: its configured name.
        deploy_model: the file that the values are of: the job's result, relative to its folder, or a trial in this one.
        deploy_sha256: of that file.
        final: whether it is the job's result; else it is the trial with every layer in int8.
        items: by number.
        nodes: every node of the deploy file with its type, in graph order.
        tensors: in graph order, item by item.
    """

    model: str
    deploy_model: str
    deploy_sha256: str
    final: bool
    items: tuple[IndexedItem, ...]
    nodes: tuple[tuple[str, str], ...]
    tensors: tuple[IndexedTensor, ...]


_Part = TypeVar("_Part", Place, IndexedItem, IndexedTensor)


def index_text(index: DumpIndex) -> str:
    """Return the text of ``index.json``: a line a node and a tensor."""
    held = {"format": FORMAT, **asdict(index)}
    lines = [
        f" {_json(key)}: {_json(held[key])}" for key in ("format", "model", "deploy_model", "deploy_sha256", "final")
    ]
    for key in ("items", "nodes", "tensors"):
        entries = ",\n".join(f"  {_json(entry)}" for entry in held[key])
        lines.append(f" {_json(key)}: [\n{entries}\n ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def table_text(index: DumpIndex) -> str:
    """Return the text of ``index.csv``, a row a tensor."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in index.tensors:
        writer.writerow(map(harmless, _row(entry)))
    return stream.getvalue()


def read_index(folder: Path) -> DumpIndex:
    """Read a folder's ``index.json``.

    Raises:
        RecordError: there is none, or it does not follow the format.
    """
    path = folder / INDEX
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(
            f"{folder}: no {INDEX} can be read there ({error.strerror}); expected a folder amct_log/temp… that a job with "
            "keep_intermediates=true wrote."
        ) from error
    except ValueError as error:
        raise RecordError(f"{path}: expected JSON, got: {error}. Run the job again.") from error
    except RecursionError as error:
        raise RecordError(
            f"{path}: expected an index, got lists or objects nested too deeply. Run the job again."
        ) from error
    version = held.get("format") if isinstance(held, dict) else None
    if version != FORMAT:
        raise RecordError(f"{path}: expected an index of format {FORMAT}, got {version!r}. Run the job again.")
    wrong = misfit(held, DumpIndex)
    if wrong is not None:
        raise RecordError(
            f"{path}: expected the fields of format {FORMAT}, got an index that lacks or misspells '{wrong}'. "
            "Run the job again."
        )
    return _index(held)


def _json(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    return escaped_json(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _index(held: Mapping[str, Any]) -> DumpIndex:
    return DumpIndex(
        model=held["model"],
        deploy_model=held["deploy_model"],
        deploy_sha256=held["deploy_sha256"],
        final=held["final"],
        items=tuple(_made(IndexedItem, item) for item in held["items"]),
        nodes=tuple((name, op_type) for name, op_type in held["nodes"]),
        tensors=tuple(_entry(entry) for entry in held["tensors"]),
    )


def _entry(held: Mapping[str, Any]) -> IndexedTensor:
    places = tuple(_made(Place, place) for place in held["places"])
    sequences = {"places": places, "shape": tuple(held["shape"]), "scale": tuple(held["scale"])}
    return _made(IndexedTensor, {**held, **sequences})


def _made(kind: type[_Part], held: Mapping[str, Any]) -> _Part:
    """Return a value of a class; what a later version may have beside it is left out."""
    return kind(**{field.name: held[field.name] for field in fields(kind)})


def _row(entry: IndexedTensor) -> Sequence[object]:
    scale = (
        entry.scale[0] if len(entry.scale) == _SCALES_SHOWN else f"{len(entry.scale)} channels" if entry.scale else ""
    )
    numbers = {"cosine": entry.cosine, "sqnr_db": "inf" if entry.equal else entry.sqnr_db}
    return [
        entry.item,
        entry.layer,
        entry.op_type,
        "yes" if entry.int8 else "no",
        entry.tensor,
        entry.places[0].node if entry.places else "",
        "x".join(map(str, entry.shape)),
        entry.dtype,
        scale,
        "" if entry.zero_point is None else entry.zero_point,
        *("" if number is None else number for number in numbers.values()),
        entry.file,
        entry.float_file or "",
    ]
