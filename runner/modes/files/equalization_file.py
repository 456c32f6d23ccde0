"""How channels of the float model were scaled, ``scale_offset_record.equalization.json`` beside the record.

The scales of a record are those of the equalized model, so ``record=`` needs the exponents to make that model again:

    {"record_sha256": "...", "exponents": {"<first layer of a pair>": [0, 3, 1, ...]}}
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from runner.errors import RecordError
from runner.graph.equalization import Exponents
from runner.strict_json import parse_object, read_text

# A factor beyond 2**126 or below 2**-126 is no normal float32.
_LARGEST = 126


def equalization_path(record: Path) -> Path:
    """Return where the exponents of a record lie: ``<record without .txt>.equalization.json``."""
    return record.with_name(f"{record.name.removesuffix('.txt')}.equalization.json")


def equalization_text(exponents: Exponents, record: bytes) -> str:
    """Return the file's text; the same exponents and record give the same.

    Args:
        exponents: by layer.
        record: the record file's bytes.
    """
    layers = {name: list(powers) for name, powers in exponents.items()}
    return json.dumps({"record_sha256": hashlib.sha256(record).hexdigest(), "exponents": layers}) + "\n"


def read_equalization(record: Path) -> Exponents:
    """Return the exponents that lie beside a record; none where there is no such file.

    Raises:
        RecordError: the file cannot be read, or belongs to another record.
    """
    path = equalization_path(record)
    if not path.is_file():
        return {}
    advice = "Copy record and equalization together, or take both away and calibrate again."
    values = parse_object(read_text(path, "record"), str(path))
    exponents = values.get("exponents")
    if not isinstance(exponents, dict) or not all(_are_integers(powers) for powers in exponents.values()):
        raise RecordError(
            f"{path}: expected 'exponents' to hold a list of integers a layer, got {exponents!r}. {advice}"
        )
    if values.get("record_sha256") != hashlib.sha256(record.read_bytes()).hexdigest():
        raise RecordError(
            f"{path}: these exponents belong to another record than {record}, or it was changed. {advice}"
        )
    return {name: tuple(powers) for name, powers in exponents.items()}


def _are_integers(powers: object) -> bool:
    return isinstance(powers, list) and all(type(power) is int and abs(power) <= _LARGEST for power in powers)
