"""What may be tried, as people write it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.tune.read_space import read_space
from runner.tune.space import Choice, Number, Whole
from runner.tune.values import override_text


class Drawn:
    """Proposes by chance, and keeps what it was asked."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.asked: list[str] = []

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        self.asked.append(name)
        return self.random.choice(choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        self.asked.append(name)
        return self.random.randrange(low, high + 1, step)

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        self.asked.append(name)
        return self.random.uniform(low, high) if step is None else low + step * self.random.randrange(3)


def test_entries_are_read_as_choices_and_ranges() -> None:
    space = read_space(
        {
            "observer": ["ifmr", "percentile"],
            "correction.balance": [0, 0.5, "auto", None, True],
            "calibration": {"count": {"int": [8, 64], "log": True}},
            "observer.max_percentile": {"float": [0.9, 1], "when": {"observer": "percentile"}},
        }
    )
    assert space.parameters == (
        Choice("observer", ("ifmr", "percentile")),
        Choice("correction.balance", ("0", "0.5", "auto", "null", "true")),
        Whole("calibration.count", 8, 64, 1, True),
        Number("observer.max_percentile", 0.9, 1.0, None, False, {"observer": ("percentile",)}),
    )


def test_what_the_command_line_nests_comes_over_what_a_file_writes_with_dots() -> None:
    given: dict[str, Any] = {"a.b": [1, 2], "c": [1], "a": {"b": [3]}, "d": {"e": None}}
    assert [(p.key, p.all_values()) for p in read_space(given).parameters] == [("a.b", ("3",)), ("c", ("1",))]
    assert read_space({"a": {"b": [3]}, "a.b": [1]}).parameters == (Choice("a.b", ("3",)),)


def test_parameter_is_asked_for_only_where_it_applies() -> None:
    space = read_space(
        {
            "x": {"int": [1, 3], "when": {"b": ["on", "on2"]}},
            "b": {"choices": ["off", "on", "on2"], "when": {"a": 1}},
            "a": [1, 2],
        }
    )
    assert [parameter.key for parameter in space.parameters] == ["a", "b", "x"]
    for seed in range(40):
        drawn = Drawn(seed)
        setting = space.suggest(drawn)
        assert list(setting) == drawn.asked
        assert ("b" in setting) == (setting["a"] == "1")
        assert ("x" in setting) == (setting.get("b") in ("on", "on2"))


def test_grid_holds_each_setting_once() -> None:
    space = read_space(
        {"a": ["p", "q"], "n": {"int": [0, 5], "step": 2, "when": {"a": "p"}}, "f": {"float": [0, 0.3], "step": 0.1}}
    )
    settings = list(space.settings())
    numbers = ("0.0", "0.1", "0.2", "0.3")
    expected = [{"a": "p", "n": n, "f": f} for n, f in itertools.product(("0", "2", "4"), numbers)]
    expected += [{"a": "q", "f": f} for f in numbers]
    assert sorted(map(str, settings)) == sorted(str({k: s[k] for k in ("a", "n", "f") if k in s}) for s in expected)
    assert space.size() == 16
    assert {str(space.setting(space.proposal(one))) for one in settings} == {str(one) for one in settings}


def test_number_without_a_step_has_no_grid() -> None:
    space = read_space({"a": {"float": [0, 1]}, "b": [1]})
    assert space.endless() == ["a"] and space.size() is None


def test_number_has_the_digits_that_people_read_and_stays_between_its_ends() -> None:
    number = Number("f", 0.123456784, 0.9999999999)
    assert number.text(0.55555555555) == "0.55555556"
    assert (number.text(number.low), number.text(number.high)) == ("0.123456784", "0.9999999999")
    assert Number("f", 1e-6, 1e-4, log=True).text(8.998860574407709e-06) == "8.9988606e-06"


def test_upper_end_is_what_steps_reach() -> None:
    assert read_space({"n": {"int": [1, 10], "step": 4}}).parameters == (Whole("n", 1, 9, 4),)
    assert read_space({"f": {"float": [0, 1], "step": 0.3}}).parameters == (Number("f", 0.0, 0.9, 0.3),)


def test_probes_hold_each_value_with_what_it_depends_on() -> None:
    space = read_space({"a": ["p", "q"], "n": {"int": [2, 9], "when": {"a": "q"}}, "m": {"float": [0.5, 1]}})
    assert list(space.probes()) == [
        {"a": "p"},
        {"a": "q"},
        {"a": "q", "n": "2"},
        {"a": "q", "n": "9"},
        {"m": "0.5"},
        {"m": "1.0"},
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "tune.space: nothing to try. Take a shipped search, +hparams_search=digits"),
        ({"a": None}, "tune.space: nothing to try."),
        ({"a": []}, "tune.space.a: nothing to try; expected a list of values."),
        ({"a": {}}, "tune.space.a: nothing to try"),
        ({"a": "ifmr"}, "a: expected a list of what is tried, {int: [low, high]} or {float: [low, high]}, got ifmr"),
        ({"a": [1, 1]}, "tune.space.a: 1 stands there twice."),
        ({"a": [1, 1.0]}, "tune.space.a: 1 and 1.0 are the same."),
        ({"a": {"int": [1, 2.5]}}, "tune.space.a: expected {int: [low, high]} of whole numbers, got [1,2.5]."),
        ({"a": {"int": [1, True]}}, "of whole numbers, got [1,true]."),
        ({"a": {"float": [1, "x"]}}, "tune.space.a: expected {float: [low, high]} of numbers, got [1,x]."),
        ({"a": {"int": [5, 1]}}, "got [5,1]."),
        ({"a": {"int": [1, 5], "float": [1, 5]}}, "tune.space.a: expected one of int, float and choices, got int and float."),
        ({"a": {"int": [1, 5], "stp": 1}}, "tune.space.a: no such word 'stp'. Did you mean 'step'?"),
        ({"a": {"int": [1, 5], "step": 0}}, "tune.space.a: expected a step above 0"),
        ({"a": {"int": [0, 5], "log": True}}, "tune.space.a: log: true needs a lower end above 0, and takes no step."),
        ({"a": {"choices": [1, 5], "log": True}}, "tune.space.a: log belongs to int and float, not to choices."),
        ({"a": {"int": [1, 5], "when": {"b": 1}}}, "tune.space.a: when: b is not tried itself."),
        ({"b": [1, 2], "a": {"int": [1, 5], "when": {"b": 3}}}, "tune.space.a: when: b is never 3. It has 1, 2."),
        ({"b": {"int": [1, 2]}, "a": {"int": [1, 5], "when": {"b": 1}}}, "tune.space.a: when: b is no choice of values"),
        (
            {"a": {"choices": [1], "when": {"b": 1}}, "b": {"choices": [1], "when": {"a": 1}}},
            "tune.space: the conditions of a, b depend on each other.",
        ),
    ],
)  # fmt: skip
def test_entry_that_says_no_parameter_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_space(given)
    assert message in str(refused.value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S"), exclude_characters="$"), min_size=1, max_size=12)
    | st.sampled_from(["true", "null", "1", "1.5", "none", "off", "a/b", "it's", "end\\", "a,b", "{x}", "nan"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(VALUES)
def test_value_as_an_override_is_read_back_as_what_it_was(value: object) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"key={override_text(value)}"])
    assert override.value() == value and type(override.value()) is type(value)
