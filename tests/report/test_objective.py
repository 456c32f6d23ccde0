"""What a sweeper is told to minimise, against closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.report.objective import OBJECTIVES, objectives, returned


def summary(**changes: Any) -> dict[str, Any]:
    """Return the summary of a job that meets its target, with changes."""
    met: dict[str, Any] = {
        "loss": 0.25,
        "target_loss": 0.5,
        "target_met": True,
        "macs_int8_share": 0.75,
        "agreement": 0.875,
        "kl": 0.125,
        "sqnr_db": 32.0,
        "seconds": {"model_work": 3.5, "total": 9.0},
    }
    return {key: value for key, value in (met | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", 0.25),
        ("macs_float", 0.25),
        ("disagreement", 0.125),
        ("kl", 0.125),
        ("noise", -32.0),
        ("seconds", 3.5),
    ],
)
def test_met_target_counts_what_the_job_found(name: str, value: float) -> None:
    assert OBJECTIVES[name].value(summary()) == value
    assert OBJECTIVES[name].value(summary(target_loss=None, target_met=None)) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", 2.0),
        ("macs_float", 3.5),
        ("disagreement", 3.5),
        ("kl", 1e6 + 1.5),
        ("noise", 1e6 + 1.5),
        ("seconds", 1e6 + 1.5),
    ],
)
def test_missed_target_counts_more_by_how_far_it_is_missed(name: str, value: float) -> None:
    assert OBJECTIVES[name].value(summary(loss=2.0, target_met=False)) == value


@given(
    st.floats(0, 0.49),
    st.floats(0.5, 90),
    st.floats(0.5, 90),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(sorted(OBJECTIVES)),
)
def test_missed_is_worse_than_met_and_further_missed_worse_still(
    met: float, one: float, other: float, share: float, other_share: float, name: str
) -> None:
    near, far = sorted((one, other))
    figures = {"macs_int8_share": share, "agreement": share, "kl": share, "sqnr_db": 60 * share}
    others = {"macs_int8_share": other_share, "agreement": other_share, "kl": other_share, "sqnr_db": 60 * other_share}
    value = OBJECTIVES[name].value
    missed = value(summary(loss=near, target_met=False, **others))
    assert value(summary(loss=met, **figures)) < missed
    assert missed <= value(summary(loss=far, target_met=False, **figures))
    if far > near + 1e-6:
        assert missed < value(summary(loss=far, target_met=False, **figures))


def test_small_step_beyond_the_target_is_a_small_step_of_the_value() -> None:
    for name in OBJECTIVES:
        steps = [OBJECTIVES[name].value(summary(loss=0.5 + k / 1024, target_met=False)) for k in range(9)]
        assert all(b - a == 1 / 1024 for a, b in itertools.pairwise(steps))


def test_loss_is_continuous_across_the_target() -> None:
    value = OBJECTIVES["loss"].value
    assert value(summary(loss=0.5, target_met=False)) == 0.5 == value(summary(loss=0.5))


def test_figure_that_a_job_does_not_tell_is_no_number() -> None:
    assert math.isnan(OBJECTIVES["kl"].value(summary(kl=None)))
    assert math.isnan(OBJECTIVES["macs_float"].value(summary(macs_int8_share=None, target_met=False)))
    assert math.isnan(OBJECTIVES["loss"].value(summary(loss=math.inf)))


def test_a_sweeper_gets_a_number_or_a_list_and_infinity_for_a_failed_job() -> None:
    assert returned(objectives("loss"), summary()) == 0.25
    assert returned(objectives(["loss", "macs_float"]), summary()) == [0.25, 0.25]
    assert returned(objectives(["loss"]), None) == math.inf
    assert returned(objectives(["loss", "kl"]), None) == [math.inf, math.inf]
    assert returned(objectives(["loss", "kl"]), summary(kl=None)) == [0.25, math.inf]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("los", "tune.objective: no such objective 'los'. Did you mean 'loss'? It has loss, macs_float"),
        (["loss", "x"], "no such objective 'x'"),
        ([], "or a list of two, got []"),
        (["loss", "loss"], "or a list of two, got ['loss', 'loss']"),
        (["loss", "kl", "noise"], "or a list of two"),
        (7, "tune.objective: expected one of loss, macs_float, disagreement, kl, noise, seconds, or a list of two, got 7."),
    ],
)  # fmt: skip
def test_unknown_objective_is_refused(named: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        objectives(named)
    assert message in str(refused.value)
