"""The record file, ``scale_offset_record.txt``: text-format protobuf, one entry a layer.

    record {
      key: "Conv_0"
      value {
        scale_d: 0.0798481479
        offset_d: 1
        scale_w: 0.00297622895
        offset_w: 0
        act_type: "INT8"
        wts_type: "INT8"
      }
    }

A tensor entry (key ``<node>:<input>``) has ``is_tensor_quantize: true`` and no weight. Floats are written with the nine
digits that bring a float32 back exactly. The reader is strict: file, line, expected, got.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from runner.errors import RecordError
from runner.printable import escaped_text_format
from runner.ranges import ActivationParams
from runner.record import LayerRecord, Record, TensorRecord
from runner.record_proto import scale_offset_record

_BLOCK = "record {\n"


def format_record(record: Record) -> str:
    """Return the record file's text; the same record gives the same bytes."""
    blocks = []
    for key, entry in record.items():
        lines = [f"    {line}" for line in _fields(entry)]
        blocks.append("\n".join(["record {", f"  key: {_quoted(key)}", "  value {", *lines, "  }", "}", ""]))
    return "".join(blocks)


def read_record(path: Path) -> Record:
    """Return the record of a file, AMCT's or ours; unknown field names are skipped.

    Raises:
        RecordError: the file is missing, empty or breaks the format; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"record: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"record: {path} cannot be read: it is not UTF-8 text.") from error
    return parse_record(text, str(path))


def parse_record(text: str, name: str = "record") -> Record:
    """Return the record of a text.

    Raises:
        RecordError: the text is empty or breaks the format; names the line or the layer.
    """
    own = _as_written(text)
    if own is not None:
        return own
    message = scale_offset_record()()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except text_format.ParseError as error:
        place = f"{name}:{error.GetLine()}" if error.GetLine() else name
        raise RecordError(f"{place}: expected a record in protobuf text format, got: {error}.") from error
    entries: dict[str, LayerRecord | TensorRecord] = {}
    for entry in message.record:
        if not entry.key:
            raise RecordError(f"{name}: an entry has no key; expected the name of its layer.")
        if entry.key in entries:
            raise RecordError(f"{name}: layer '{entry.key}' is recorded twice; expected one entry a layer.")
        entries[entry.key] = _entry(f"{name}: layer '{entry.key}'", entry.value)
    if not entries:
        raise RecordError(f"{name}: the record holds no layer; expected 'record {{ key: … value {{ … }} }}' entries.")
    return Record(entries)


def _as_written(text: str) -> Record | None:
    """Return the record that ``format_record`` writes as just this text, in a quarter of the time; None for any other text."""
    entries: dict[str, LayerRecord | TensorRecord] = {}
    try:
        for block in text.removeprefix(_BLOCK).split(f"\n{_BLOCK}"):
            key, *lines = block.splitlines()
            fields: dict[str, list[str]] = {}
            for line in lines[1:-2]:
                name, value = line.split(": ")
                fields.setdefault(name.strip(), []).append(value)
            activation = ActivationParams(_floats(fields["scale_d"])[0], int(fields["offset_d"][0]))
            entries[json.loads(key.removeprefix("  key: "))] = (
                TensorRecord(activation)
                if "is_tensor_quantize" in fields
                else LayerRecord(
                    activation,
                    _floats(fields["scale_w"]),
                    "skip_fusion" in fields,
                    _floats(fields.get("tensor_balance_factor", [])),
                )
            )
        record = Record(entries)
        return record if format_record(record) == text else None
    except (KeyError, ValueError):
        return None


def _floats(texts: Sequence[str]) -> tuple[float, ...]:
    """Return float32 numbers, as protobuf reads them."""
    with np.errstate(over="ignore"):  # such a record is refused by whoever makes sense of it
        return tuple(np.array([float(text) for text in texts], np.float64).astype(np.float32).tolist())


def _entry(where: str, value: Any) -> LayerRecord | TensorRecord:  # noqa: ANN401 - a protobuf message
    for required in ("scale_d", "offset_d"):
        if not value.HasField(required):
            raise RecordError(f"{where} has no {required}; was its calibration finished?")
    for kind in ("act_type", "wts_type"):
        if getattr(value, kind) not in ("", "INT8"):
            raise RecordError(f"{where} has {kind} {getattr(value, kind)}; only INT8 is supported.")
    if value.op_data_type not in ("", "FLOAT32", "FLOAT16"):
        raise RecordError(f"{where} has op_data_type {value.op_data_type}; expected FLOAT32 or FLOAT16.")
    if any(value.shift_bit):
        raise RecordError(f"{where} has a nonzero shift_bit; joint_quant is not supported.")
    if any(value.offset_w):
        raise RecordError(f"{where} has a nonzero offset_w; weights are symmetric, so it must be 0.")
    try:
        activation = ActivationParams(value.scale_d, value.offset_d)
        if value.is_tensor_quantize:
            return TensorRecord(activation)
        if not value.scale_w:
            raise RecordError(f"{where} has no scale_w.")
        if value.offset_w and len(value.offset_w) != len(value.scale_w):
            raise RecordError(
                f"{where} has {len(value.scale_w)} scale_w and {len(value.offset_w)} offset_w; expected as many."
            )
        return LayerRecord(activation, tuple(value.scale_w), value.skip_fusion, tuple(value.tensor_balance_factor))
    except ValueError as error:
        raise RecordError(f"{where}: {error}.") from error


def _fields(entry: LayerRecord | TensorRecord) -> Iterator[str]:
    yield f"scale_d: {_float(entry.activation.scale)}"
    yield f"offset_d: {entry.activation.zero_point}"
    if isinstance(entry, TensorRecord):
        yield "is_tensor_quantize: true"
        yield 'act_type: "INT8"'
        return
    yield from (f"scale_w: {_float(scale)}" for scale in entry.weight_scales)
    yield from ("offset_w: 0" for _ in entry.weight_scales)
    if entry.skip_fusion:
        yield "skip_fusion: true"
    yield from (f"tensor_balance_factor: {_float(factor)}" for factor in entry.balance_factors)
    yield 'act_type: "INT8"'
    yield 'wts_type: "INT8"'


def _float(value: float) -> str:
    return f"{np.float32(value):.9g}"


def _quoted(text: str) -> str:
    return f'"{escaped_text_format(text)}"'
