"""JSON read strictly, with lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import RecordError
from runner.strict_json import is_number, parse_items, parse_object, read_text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(items=st.lists(values, max_size=4), indent=st.sampled_from([None, 1, 4]))
def test_items_of_a_list_come_back_with_their_lines(items: list[object], indent: int | None) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=False)
    found = parse_items(text, "f", "x")
    assert [value for _, value in found] == items
    # Where each item is put on lines of its own, the item starts on the line that it is said to.
    if indent is not None and items:
        starts = [2]
        for item in items[:-1]:
            starts.append(starts[-1] + json.dumps(item, indent=indent, ensure_ascii=False).count("\n") + 1)
        assert [line for line, _ in found] == starts


@given(objects=st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=4))
def test_objects_one_after_the_other_are_items(objects: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(value) + "\n" for value in objects)
    assert parse_items(text, "f", "x") == [(number, value) for number, value in enumerate(objects, start=1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"a": 1,\n "a": 2}', "f: Please delete repeated items in f: 'a'", id="twice"),
        pytest.param('{"x": {"b": 1, "b": 1}}', "f: Please delete repeated items in f: 'b'", id="twice inside"),
        pytest.param('{"a": NaN}', "f: expected finite numbers, got NaN", id="nan"),
        pytest.param('{"a": 1,\n}', "f:", id="comma"),
        pytest.param('{"a": 1}\n{"b": 1}', "f: expected one JSON object, got 2 values", id="two"),
        pytest.param("[1]", "f: expected one JSON object, got [1]", id="list"),
        pytest.param(" \n", "f: expected one JSON object, got nothing", id="empty"),
        pytest.param(
            '{"a":' * 100_000, "f:1: expected a JSON object, got lists or objects nested too deeply.", id="deep"
        ),
        pytest.param('\n{"a": ' + "1" * 5000 + "}", "f:2: expected a JSON object, got: Exceeds the limit", id="digits"),
        pytest.param('{"a": 1} trailing', "f:1: expected a JSON object, got: Expecting value", id="text after"),
    ],
)
def test_broken_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecordError) as error:
        parse_object(text, "f")
    assert str(error.value).startswith(message)


def test_true_and_what_no_float_holds_are_no_numbers() -> None:
    assert is_number(1) and is_number(-0.5)
    assert not any(map(is_number, (True, None, "1", [], 10**400, float("inf"), float("nan"))))


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(RecordError, match=r"quant_config: .*a\.json cannot be read: it is not UTF-8 text"):
        read_text(tmp_path / "a.json", "quant_config")
