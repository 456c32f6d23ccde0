"""Limits of a search."""

from __future__ import annotations

import pytest

from runner.errors import ConfigError
from runner.search.budget import Budget, BudgetSpentError, Meter
from runner.search.plan import Stopped


def spent(meter: Meter, evaluations: int = 0) -> bool:
    try:
        meter.check(evaluations)
    except BudgetSpentError:
        return True
    return False


def test_without_limits_nothing_is_ever_spent() -> None:
    assert not spent(Meter(Budget()), 10**9)


@pytest.mark.parametrize(("evaluations", "expected"), [(2, False), (4, False), (5, True), (6, True)])
def test_next_evaluation_may_begin_while_fewer_were_made(evaluations: int, expected: bool) -> None:
    assert spent(Meter(Budget(evaluations=5)), evaluations) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, False), (29.9, False), (30.0, True), (31.0, True)])
def test_minutes_run_from_the_start(seconds: float, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("runner.search.budget.time.monotonic", lambda: clock[0])
    meter = Meter(Budget(minutes=0.5))
    clock[0] += seconds
    assert spent(meter) == expected


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_minutes_that_are_no_time_are_refused(minutes: float) -> None:
    with pytest.raises(ConfigError, match=r"budget\.minutes: expected more than 0, or null for no limit, got"):
        Budget(minutes=minutes)


@pytest.mark.parametrize("evaluations", [1, 0, -3])
def test_fewer_evaluations_than_a_result_needs_are_refused(evaluations: int) -> None:
    with pytest.raises(ConfigError, match=rf"budget\.evaluations: expected 2 or more .* got {evaluations}\."):
        Budget(evaluations=evaluations)


@pytest.mark.parametrize(
    ("errors", "stopped"),
    [
        ([], None),
        ([BudgetSpentError], "budget"),
        ([KeyboardInterrupt], "interrupted"),
        ([BudgetSpentError, KeyboardInterrupt], "interrupted"),
        ([KeyboardInterrupt, BudgetSpentError], "interrupted"),
    ],
    ids=["nothing", "budget", "interruption", "interrupted after the budget", "budget after an interruption"],
)
def test_what_cuts_work_short_becomes_a_value(errors: list[type[BaseException]], stopped: str | None) -> None:
    meter = Meter(Budget())
    for error in errors:
        with meter.until_stopped():
            raise error
    assert meter.stopped == stopped


def test_a_fault_is_nothing_that_cuts_work_short() -> None:
    meter = Meter(Budget())
    with pytest.raises(RuntimeError, match="no memory"), meter.until_stopped():
        raise RuntimeError("no memory")
    assert meter.stopped is None


@pytest.mark.parametrize(
    ("before", "error", "made", "stopped"),
    [
        (None, None, 7, None),
        ("budget", None, 7, "budget"),
        ("interrupted", None, None, "interrupted"),
        (None, BudgetSpentError, None, "budget"),
        ("budget", KeyboardInterrupt, None, "interrupted"),
    ],
    ids=["whole", "after the budget", "after an interruption", "budget within", "interrupted within"],
)
def test_step_is_left_out_where_the_job_was_interrupted(
    before: Stopped | None, error: type[BaseException] | None, made: int | None, stopped: Stopped | None
) -> None:
    meter = Meter(Budget())
    meter.stopped = before

    def step() -> int:
        if error is not None:
            raise error
        return 7

    assert (meter.unless_interrupted(step), meter.stopped) == (made, stopped)


@pytest.mark.parametrize("interruptions", [0, 1])
def test_step_that_has_to_come_to_its_end_is_begun_anew(interruptions: int) -> None:
    meter, begun = Meter(Budget()), list[Stopped | None]()

    def step() -> int:
        begun.append(meter.stopped)
        if len(begun) <= interruptions:
            raise KeyboardInterrupt
        return 7

    assert meter.in_full(step) == 7
    assert begun == [None, "interrupted"][: 1 + interruptions] and meter.stopped == begun[-1]
