"""Plain values against what a dataclass says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from runner.plain_values import fits, misfit


@dataclass(frozen=True)
class Inner:
    place: tuple[str, int]
    side: Literal["in", "out"] = "in"


@dataclass(frozen=True)
class Outer:
    name: str
    share: float
    inner: tuple[Inner, ...]
    found: Mapping[str, int] | None = None
    rest: Sequence[str] = field(default_factory=tuple)
    any: Any = 0


SOUND: dict[str, Any] = {"name": "a", "share": 1, "inner": [{"place": ["p", 2]}]}


def test_object_with_all_fields_fits_whatever_stands_beside_them() -> None:
    more = {"found": {"x": 1}, "rest": ["b"], "any": [None, {}], "later": {}}
    assert misfit(SOUND, Outer) is None and misfit(SOUND | more, Outer) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("name", 1), ("name", None), ("name", ["a"]), ("share", "1"), ("share", True), ("share", None)],
        *[("inner", {}), ("inner", [[]]), ("inner", [{"place": ["p"]}]), ("inner", [{"place": ["p", 2.5]}])],
        *[("inner", [{"place": ["p", 2], "side": "up"}]), ("inner", "ab"), ("inner", [{}])],
        *[("found", {"x": "1"}), ("found", []), ("rest", "b"), ("rest", [1]), ("rest", {"a": 1})],
    ],
)
def test_first_field_that_is_something_else_is_named(key: str, value: object) -> None:
    assert misfit(SOUND | {key: value}, Outer) == key


def test_missing_field_is_named_unless_it_has_a_default() -> None:
    for key in SOUND:
        assert misfit({name: value for name, value in SOUND.items() if name != key}, Outer) == key


@pytest.mark.parametrize(
    ("value", "kind"), [(1, int), (1, float), (1.5, float), (None, None), ([], list[int]), ({}, dict)]
)
def test_value_of_a_type_fits_it(value: object, kind: object) -> None:
    assert fits(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"), [(True, int), (False, float), (1.0, int), (0, None), (None, int), ((), list[int])]
)
def test_value_of_another_type_does_not(value: object, kind: object) -> None:
    assert not fits(value, kind)
