"""Durations in words."""

from __future__ import annotations

import pytest

from runner.modes.doctor.cost import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5 s"), (42.4, "42 s"), (99, "99 s"), (150, "2.5 min"), (5400, "90 min"), (9000, "2.5 h")],
)
def test_a_duration_is_said_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert duration(seconds) == said
