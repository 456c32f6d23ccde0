"""What every step of a job has at hand."""

from __future__ import annotations

from runner.events import Event, Warned
from runner.modes.context import Context


def test_warnings_are_told_at_once_and_kept_in_their_order() -> None:
    heard: list[Event] = []
    job = Context.start(emit=heard.append)
    job.warnings.warn("one", "two")
    assert job.warnings.told == ("one", "two") and heard == [Warned("one"), Warned("two")]
    job.warnings.warn()
    job.warnings.warn("three")
    assert job.warnings.told == ("one", "two", "three") and heard[2:] == [Warned("three")]
