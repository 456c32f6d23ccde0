"""Whatever a name holds, what is shown of it steers nothing, and files give it back."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.printable import escaped_json, no_file, printable, printable_lines
from runner.ranges import ActivationParams
from runner.record import Record, TensorRecord
from runner.record_text import format_record, parse_record

ANY = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x07\n\r\t\x9b\x7f\u202e\u2066\u2028\udc80")), max_size=30
)
VALID = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("\x1b\n\r\x9b\u202e\u2028")), min_size=1, max_size=30
)


def steers(text: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in "\u202e\u2066" for char in text)


@given(ANY)
def test_shown_text_is_one_line_that_steers_nothing(text: str) -> None:
    assert not steers(printable(text))
    assert not any(map(steers, printable_lines(text).split("\n")))


def test_very_long_name_is_told_by_its_ends() -> None:
    told = printable("plan: " + "a" * 50_000 + "b" * 50_000)
    assert len(told) < 300 and told.startswith("plan: aaa") and told.endswith("bbb") and "100000 characters" in told


@given(st.dictionaries(ANY, ANY), st.sampled_from([None, 4]))
def test_escaped_json_means_the_same(value: dict[str, str], indent: int | None) -> None:
    text = escaped_json(json.dumps(value, ensure_ascii=False, indent=indent))
    assert json.loads(text) == value
    assert not steers(text.replace("\n", ""))


@given(VALID)
def test_record_of_any_layer_name_reads_back(name: str) -> None:
    record = Record({name: TensorRecord(ActivationParams(0.5, 3))})
    text = format_record(record)
    assert parse_record(text, "record.txt") == record
    assert not steers(text.replace("\n", ""))


def test_record_file_of_any_layer_name_reads_back(tmp_path: Path) -> None:
    from runner.record_text import read_record

    record = Record({"a\rb\r\n\x0bc": TensorRecord(ActivationParams(0.5, 3))})
    (tmp_path / "record.txt").write_text(format_record(record), encoding="utf-8")
    assert read_record(tmp_path / "record.txt") == record


def test_what_is_no_file_is_told_as_what_it_is(tmp_path: Path) -> None:
    assert no_file(tmp_path / "absent") == f"{tmp_path / 'absent'} does not exist"
    assert no_file(tmp_path) == f"{tmp_path} is a folder"
    assert no_file(Path(os.devnull)) == f"{os.devnull} is no regular file"
