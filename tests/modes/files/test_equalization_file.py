"""The exponents beside a record: what is written is what is read, and what does not belong is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import RecordError
from runner.modes.files.equalization_file import equalization_path, equalization_text, read_equalization

EXPONENTS = {"/block/a": (0, 3, -1), "猫": (2,)}


def written(folder: Path, record: bytes = b"record {}") -> Path:
    path = folder / "scale_offset_record.txt"
    path.write_bytes(record)
    equalization_path(path).write_text(equalization_text(EXPONENTS, b"record {}"), encoding="utf-8")
    return path


def test_exponents_come_back_as_they_were(tmp_path: Path) -> None:
    record = written(tmp_path)
    assert equalization_path(record).name == "scale_offset_record.equalization.json"
    assert read_equalization(record) == EXPONENTS


def test_record_of_a_plain_model_has_none(tmp_path: Path) -> None:
    assert read_equalization(tmp_path / "record.txt") == {}


def test_exponents_of_another_record_are_refused(tmp_path: Path) -> None:
    record = written(tmp_path, b"record { changed }")
    with pytest.raises(
        RecordError, match=r"equalization\.json: these exponents belong to another record .* take both away"
    ):
        read_equalization(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected one JSON object, got nothing"),
        ("{}", r"expected 'exponents' to hold a list of integers a layer, got None"),
        ('{"exponents": {"a": 1}}', r"a list of integers a layer, got \{'a': 1\}"),
        ('{"exponents": {"a": [0.5]}}', r"a list of integers a layer, got \{'a': \[0\.5\]\}"),
        ('{"exponents": {"a": [true]}}', r"a list of integers a layer"),
        ('{"exponents": {"a": [200]}}', r"a list of integers a layer"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path: Path, text: str, message: str) -> None:
    record = written(tmp_path)
    equalization_path(record).write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        read_equalization(record)
