"""Checks in a row: what one finds out, what others say without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.engine import Engine
from runner.errors import CombinedError, ConfigError, DatasetError
from runner.modes.doctor.examine import Check, examine
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.finding import Finding, key_of, ok


def finds_a_path(case: Examined) -> Iterator[Finding]:
    case.path = "net.onnx"
    yield ok("found")


def needs_a_path(case: Examined) -> Iterator[Finding]:
    yield ok(case.path)


def raises_two(case: Examined) -> Iterator[Finding]:
    yield ok("first")
    raise CombinedError(
        [ConfigError("seed: expected a whole number, got 'x'."), DatasetError("dataset.path: no file.")]
    )


def breaks(case: Examined) -> Iterator[Finding]:
    yield ok("first")
    raise ZeroDivisionError("of a class of the user's")


def case() -> Examined:
    return Examined(Engine(1), {})


def test_what_a_check_finds_out_is_there_for_those_after_it() -> None:
    checks = (Check("one", finds_a_path), Check("two", needs_a_path))
    assert [found.findings[0].what for found in examine(checks, case())] == ["found", "net.onnx"]


def test_a_check_that_lacks_something_says_what_and_the_others_go_on() -> None:
    found = list(examine((Check("two", needs_a_path), Check("one", finds_a_path)), case()))
    assert [(one.name, one.findings[0].level) for one in found] == [("two", "unchecked"), ("one", "ok")]
    assert found[0].findings[0].what == "not checked: needs the model's path"


def test_each_of_several_errors_is_a_fault_with_its_key() -> None:
    (found,) = examine((Check("two", raises_two),), case())
    assert [(one.level, one.key) for one in found.findings] == [
        ("ok", ""),
        ("fault", "seed"),
        ("fault", "dataset.path"),
    ]


def test_a_fault_of_the_program_hides_nothing_that_was_found_and_no_other_check() -> None:
    broken, after = examine((Check("broken", breaks), Check("after", finds_a_path)), case())
    assert [one.level for one in broken.findings] == ["ok", "fault"]
    assert broken.findings[1].what == "ZeroDivisionError: of a class of the user's"
    assert after.findings == [ok("found")]


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("dataset.labels: no item has a label", "dataset.labels"),
        ("engine=ray: Ray is not installed.", "engine"),
        ("layers[0].match: 'x' matches none", "layers[0].match"),
        ("the model gives nothing", ""),
        ("dataset/preprocess=tv: no such option.", "dataset/preprocess"),
    ],
)
def test_the_option_is_read_off_a_message(message: str, key: str) -> None:
    assert key_of(message) == key
