"""The rewriting beside a record: what is written is what is read, and what does not belong is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import RecordError
from runner.graph.pixel_codes import Levels
from runner.graph.rewriting import Rewriting
from runner.modes.files.rewriting_file import read_rewriting, rewriting_path, rewriting_text

EXPONENTS = {"/block/a": (0, 3, -1), "猫": (2,)}
PIXELS = {"conv1": Levels((0.1, -1 / 3), (1 / 255, 0.017), -120)}


def written(folder: Path, record: bytes = b"record {}") -> Path:
    path = folder / "scale_offset_record.txt"
    path.write_bytes(record)
    rewriting_path(path).write_text(rewriting_text(Rewriting(PIXELS, EXPONENTS), b"record {}"), encoding="utf-8")
    return path


def test_rewriting_comes_back_as_it_was(tmp_path: Path) -> None:
    record = written(tmp_path)
    assert rewriting_path(record).name == "scale_offset_record.rewriting.json"
    found = read_rewriting(record)
    assert found.exponents == EXPONENTS
    assert found.pixels == PIXELS


def test_record_of_a_plain_model_has_none(tmp_path: Path) -> None:
    assert not read_rewriting(tmp_path / "record.txt")


def test_rewriting_of_another_record_is_refused(tmp_path: Path) -> None:
    record = written(tmp_path, b"record { changed }")
    with pytest.raises(
        RecordError, match=r"rewriting\.json: this rewriting belongs to another record .* take both away"
    ):
        read_rewriting(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected one JSON object, got nothing"),
        ("{}", r"expected 'exponents' to hold a list of integers a layer, got None"),
        ('{"exponents": {"a": 1}}', r"a list of integers a layer, got \{'a': 1\}"),
        ('{"exponents": {"a": [0.5]}}', r"a list of integers a layer, got \{'a': \[0\.5\]\}"),
        ('{"exponents": {"a": [true]}}', r"a list of integers a layer"),
        ('{"exponents": {"a": [200]}}', r"a list of integers a layer"),
        ('{"exponents": {}}', r"expected 'pixels' to hold lists 'zero' and 'step', .* a layer, got None"),
        ('{"exponents": {}, "pixels": {"a": {"zero": [0.0]}}}', r"lists 'zero' and 'step'"),
        (
            '{"exponents": {}, "pixels": {"a": {"zero": [0.0], "step": [1.0, 1.0], "lowest": 0}}}',
            r"as long as each other",
        ),
        ('{"exponents": {}, "pixels": {"a": {"zero": [0.0], "step": [0.0], "lowest": 0}}}', r"steps positive"),
        ('{"exponents": {}, "pixels": {"a": {"zero": ["x"], "step": [1.0], "lowest": 0}}}', r"lists 'zero' and 'step'"),
        ('{"exponents": {}, "pixels": {"a": {"zero": [0.0], "step": [1.0], "lowest": -300}}}', r"'lowest', -255 to 0"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path: Path, text: str, message: str) -> None:
    record = written(tmp_path)
    rewriting_path(record).write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        read_rewriting(record)
