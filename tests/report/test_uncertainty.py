"""What is said of how sure a loss is, from one item to many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl
from runner.evaluation.uncertainty import Interval, loss_interval
from runner.report.sections.uncertainty import uncertainty


def told(interval: Interval, items: int, target: float | None = None) -> tuple[str, dict[str, Any], dict[str, float]]:
    """Return the terminal's row, what summary.json holds, and what sweeps compare."""
    figures = uncertainty(interval, items, target).figures
    (row,) = (figure for figure in figures if figure.phrase)
    assert row.sentence == f"{row.phrase[0].upper()}{row.phrase[1:]}."
    return row.phrase, row.value, {figure.tracked: figure.value for figure in figures if figure.tracked}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (1, "no upper limit: 1 item is too few to tell the spread"),
        (2, "no upper limit: 2 items are too few to tell the spread"),
        (3, "no upper limit: 3 items are too few to tell the spread"),
    ],
)
def test_one_two_and_three_items_have_no_limit_of_a_distance(items: int, said: str) -> None:
    scores = np.random.default_rng(0).exponential(0.01, (items, 1))
    interval = loss_interval(Kl(), np.zeros((items, 1)), scores, target=0.5)
    phrase, value, tracked = told(interval, items, 0.5)
    assert phrase == f"{said}; target on items not seen: undecided"
    assert value == {
        "low": 0.0,
        "level": 0.95,
        "method": "none",
        "one_sided": True,
        "at_least": 0.0,
        "unsure": said.partition(": ")[2],
    }
    assert tracked == {"interval/low": 0.0}


@pytest.mark.parametrize(("items", "limit"), [(1, "95"), (2, "77.6"), (3, "63.2")])
def test_one_two_and_three_items_say_of_agreement_what_they_can(items: int, limit: str) -> None:
    same = np.ones((items, 1))
    phrase, value, tracked = told(loss_interval(Agreement(), same, same, target=1.0), items, 1.0)
    # 100 (1 - 0.05^(1/n)); (1 - 0.01)^n = 0.05 for n = 298.07.
    assert phrase == (
        f"at most {limit} with 95% confidence; target on items not seen: undecided (about 299 items like these would tell)"
    )
    assert value["method"] == "binomial" and value["low"] == 0.0
    assert tracked["interval/high"] == pytest.approx(100 * (1 - 0.05 ** (1 / items)))


@pytest.mark.parametrize(("items", "said"), [(1, "1 item is"), (2, "2 items are"), (3, "3 items are")])
def test_one_two_and_three_items_have_no_interval_of_an_accuracy(items: int, said: str) -> None:
    same = np.ones((items, 1))
    phrase, value, tracked = told(loss_interval(TopK(), same, same), items)
    assert phrase == f"no interval: {said} too few to tell the spread"
    assert value.keys() == {"level", "method", "unsure"} and tracked == {}


def test_lower_limit_is_said_where_it_refuses_the_target() -> None:
    phrase, value, _ = told(Interval(0.0, 9.0, "bootstrap_t", at_least=4.0), 100, 1.0)
    assert phrase == "at least 4 with 95% confidence; target on items not seen: not met"
    assert (value["low"], value["high"], value["at_least"]) == (0.0, 9.0, 4.0)
    phrase, _, _ = told(Interval(0.0, math.inf, "none", at_least=4.0, unsure="too few of 40 items differ"), 40, 1.0)
    assert phrase == (
        "no upper limit: too few of 40 items differ; at least 4 with 95% confidence; target on items not seen: not met"
    )


def test_interval_of_an_accuracy_has_two_ends() -> None:
    phrase, value, tracked = told(Interval(-0.4, 0.8, "tango", 16783), 700, 0.2)
    assert phrase == (
        "95% interval -0.4 to 0.8; target on items not seen: undecided (about 16783 items like these would tell)"
    )
    assert value == {"low": -0.4, "high": 0.8, "level": 0.95, "method": "tango", "items_to_settle": 16783}
    assert tracked == {"interval/low": -0.4, "interval/high": 0.8}
