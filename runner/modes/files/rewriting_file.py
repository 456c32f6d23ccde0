"""How the float model was rewritten, ``scale_offset_record.rewriting.json`` beside the record.

The scales of a record are those of the rewritten model, so ``record=`` needs to know it to make that model again:

    {"record_sha256": "...",
     "pixels": {"<first layer>": {"zero": [...], "step": [...], "lowest": -128}},
     "exponents": {"<layer or normalization that makes the channels>": [0, 3, 1, ...]}}
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.errors import RecordError
from runner.graph.pixel_codes import Levels
from runner.graph.rewriting import Rewriting
from runner.ranges import NUM_STEPS
from runner.strict_json import parse_object, read_text

# A factor beyond 2**126 or below 2**-126 is no normal float32.
_LARGEST = 126


def rewriting_path(record: Path) -> Path:
    """Return where the rewriting of a record lies: ``<record without .txt>.rewriting.json``."""
    return record.with_name(f"{record.name.removesuffix('.txt')}.rewriting.json")


def rewriting_text(rewriting: Rewriting, record: bytes) -> str:
    """Return the file's text; the same rewriting and record give the same.

    Args:
        rewriting: of the float model.
        record: the record file's bytes.
    """
    values = {
        "record_sha256": hashlib.sha256(record).hexdigest(),
        "pixels": {name: asdict(levels) for name, levels in rewriting.pixels.items()},
        "exponents": {name: list(powers) for name, powers in rewriting.exponents.items()},
    }
    return json.dumps(values) + "\n"


def read_rewriting(record: Path) -> Rewriting:
    """Return the rewriting that lies beside a record; an empty one where there is no such file.

    Raises:
        RecordError: the file cannot be read, or belongs to another record.
    """
    path = rewriting_path(record)
    if not path.is_file():
        return Rewriting()
    advice = "Copy record and rewriting together, or take both away and calibrate again."
    values = parse_object(read_text(path, "record"), str(path))

    def part(key: str, kind: str, fits: Any) -> dict[str, Any]:  # noqa: ANN401 - a predicate over what JSON holds
        found = values.get(key)
        if not isinstance(found, dict) or not all(map(fits, found.values())):
            raise RecordError(f"{path}: expected '{key}' to hold {kind} a layer, got {found!r}. {advice}")
        return found

    exponents = part("exponents", "a list of integers", _are_integers)
    pixels = part(
        "pixels",
        "lists 'zero' and 'step', as long as each other, steps positive, and 'lowest', -255 to 0,",
        _are_levels,
    )
    if values.get("record_sha256") != hashlib.sha256(record.read_bytes()).hexdigest():
        raise RecordError(
            f"{path}: this rewriting belongs to another record than {record}, or it was changed. {advice}"
        )
    return Rewriting(
        {
            name: Levels(tuple(levels["zero"]), tuple(levels["step"]), levels["lowest"])
            for name, levels in pixels.items()
        },
        {name: tuple(powers) for name, powers in exponents.items()},
    )


def _are_integers(powers: object) -> bool:
    return isinstance(powers, list) and all(type(power) is int and abs(power) <= _LARGEST for power in powers)


def _are_levels(levels: object) -> bool:
    if not isinstance(levels, dict) or set(levels) != {"zero", "step", "lowest"}:
        return False
    zero, step, lowest = levels["zero"], levels["step"], levels["lowest"]
    if not (_are_numbers(zero) and _are_numbers(step) and type(lowest) is int):
        return False
    return len(zero) == len(step) and all(value > 0 for value in step) and -NUM_STEPS <= lowest <= 0


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is float and math.isfinite(value) for value in values)
