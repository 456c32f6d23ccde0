"""What is shown while a job works: bars that go away on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
import itertools
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from runner.app.loudness import Loudness
from runner.app.progress import ProgressDisplay
from runner.app.work_done import WorkDone
from runner.events import Event, StageAdvanced, StageFinished, StageStarted, TrialFinished, Warned, WorkAhead
from tests.screen import Screen


def screen(terminal: bool = True, width: int = 80) -> Console:
    return Console(force_terminal=terminal, width=width, file=io.StringIO(), legacy_windows=False)


def text_of(drawn: Console) -> str:
    assert isinstance(drawn.file, io.StringIO)
    return drawn.file.getvalue()


def drawn_now(display: ProgressDisplay) -> None:
    """Draw the bars, which are otherwise drawn ten times a second."""
    if display._bars is not None:
        display._bars.refresh()


STAGE = (StageStarted("search", 4, "at most 2 plans"), StageAdvanced("search", 2), StageFinished("search", 3.25))
TRIAL = TrialFinished(1, 99.5, 0.5, False, 3, ("a", "b"))


def test_bars_are_gone_at_the_end_and_warnings_stay() -> None:
    drawn = screen()
    display = ProgressDisplay(drawn)
    for event in (WorkAhead(10), *STAGE[:2], Warned("look out " * 20), STAGE[2], TRIAL):
        display(event)
        drawn_now(display)
    display.close()
    shown = Screen().feed(text_of(drawn))
    assert shown.text[0].startswith("warning: look out look out")
    assert " ".join(shown.text).split() == ["warning:", *["look", "out"] * 20]
    assert max(map(len, shown.text)) <= 80
    ever = "\n".join(shown.ever)
    assert re.search(r"search \(at most 2 plans\) .* 2/4 ", ever) and re.search(r"whole job .* 20% ", ever)
    assert max(map(len, shown.ever)) <= 80


@pytest.mark.parametrize("loudness", ["quiet", "json"])
def test_quiet_jobs_draw_no_bars_and_tell_warnings(loudness: Loudness) -> None:
    for terminal in (True, False):
        drawn = screen(terminal)
        display = ProgressDisplay(drawn, loudness=loudness)
        for event in (WorkAhead(10), *STAGE, TRIAL, Warned("look out")):
            display(event)
        display.close()
        assert Screen().feed(text_of(drawn)).ever == ["warning: look out"]


def lines(loudness: Loudness, events: Sequence[tuple[float, Event]], label: str = "") -> list[str]:
    """Return what is printed in a pipe for events at some seconds."""
    clock = iter([0.0])
    now = 0.0

    def seconds() -> float:
        return next(clock, now)

    drawn = screen(terminal=False)
    display = ProgressDisplay(drawn, loudness=loudness, label=label, now=seconds)
    for now, event in events:  # noqa: B007 - read above
        display(event)
        drawn_now(display)
    display.close()
    assert "\x1b" not in text_of(drawn)
    return text_of(drawn).splitlines()


def test_in_a_pipe_only_what_takes_long_has_a_line_unless_everything_is_told() -> None:
    quick, slow = StageFinished("load", 0.5), StageFinished("search", 70.0)
    events = [
        (0.0, StageStarted("load")),
        (0.5, quick),
        (1.0, StageStarted("search", 10, "at most 9 plans")),
        (2.0, TRIAL),
        (30.0, TrialFinished(2, 99, 0.25, True, 3, ())),
        (31.0, TrialFinished(3, 99, 0.75, True, 3, ())),
        (71.0, slow),
    ]
    plans = [
        "  plan 1: 2 layers float, loss 0.5, not accepted",
        "  plan 2: 0 layers float, loss 0.25, accepted",
        "  plan 3: 0 layers float, loss 0.75, accepted",
    ]
    assert lines("short", events) == [plans[1], "search (at most 9 plans): 70.0 s"]
    assert lines("full", events) == ["load the model: 0.5 s", *plans, "search (at most 9 plans): 70.0 s"]


def test_lines_of_a_sweeps_job_name_it() -> None:
    events = [(0.0, STAGE[0]), (1.0, Warned("look out")), (2.0, STAGE[2])]
    assert lines("full", events, "3 seed=7") == [
        "[3 seed=7] warning: look out",
        "[3 seed=7] search (at most 2 plans): 3.2 s",
    ]


def test_bar_of_a_sweeps_job_names_it() -> None:
    drawn = screen()
    display = ProgressDisplay(drawn, label="3 seed=7")
    display(WorkAhead(10))
    display(STAGE[0])
    display.close()
    assert any(line.startswith("3 seed=7 ") for line in Screen().feed(text_of(drawn)).ever)


def test_a_terminal_that_cannot_move_has_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    drawn = screen()
    display = ProgressDisplay(drawn)
    for event in (WorkAhead(10), *STAGE):
        display(event)
        drawn_now(display)
    display.close()
    assert text_of(drawn) == ""


def test_stage_within_a_stage_is_shown_and_the_outer_one_goes_on() -> None:
    drawn = screen()
    display = ProgressDisplay(drawn)
    for event in (
        WorkAhead(20),
        StageStarted("calibrate", 10, "corrections"),
        StageAdvanced("calibrate", 2),
        StageStarted("rank", 10),
        StageAdvanced("rank", 10),
        StageFinished("rank", 1.0),
        StageAdvanced("calibrate", 10),
    ):
        display(event)
        drawn_now(display)
    display.close()
    ever = "\n".join(Screen().feed(text_of(drawn)).ever)
    assert re.search(r"calibrate \(corrections\) .* 10/10 ", ever) and re.search(r"whole job .* 100% ", ever)


# The share of the whole job


def test_share_of_a_job_that_goes_as_planned() -> None:
    work = WorkDone(after=5)
    work.plan(95)
    shares = []
    for total in (20, 75):
        work.begin(total)
        for done in range(0, total + 1, 5):
            work.advance(0, done)
            shares.append(work.share)
        work.finish()
    assert shares == [n / 100 for n in (*range(0, 21, 5), *range(20, 96, 5))]
    work.begin(5)
    work.advance(0, 5)
    assert work.share == 1.0


def test_what_is_remembered_is_not_ahead_any_longer() -> None:
    work = WorkDone()
    work.plan(100)
    work.begin(50)
    work.finish()
    assert work.share == 0.0
    work.begin(50)
    work.advance(0, 25)
    assert work.share == 0.5


def test_more_work_than_was_planned_takes_what_is_left_of_the_bar() -> None:
    work = WorkDone()
    work.plan(100)
    work.begin(50)
    work.advance(0, 50)
    work.finish()
    work.plan(1000)
    assert work.share == 0.5
    work.begin(500)
    work.advance(0, 500)
    assert work.share == 0.75


@pytest.mark.parametrize("seed", range(20))
def test_share_never_falls_and_is_never_more_than_all(seed: int) -> None:
    chance = random.Random(seed)
    work, shares, open_stages = WorkDone(after=1), [0.0], []
    for _ in range(300):
        what = chance.random()
        if what < 0.1:
            work.plan(chance.randrange(200))
        elif what < 0.3:
            open_stages.append(chance.randrange(60))
            work.begin(open_stages[-1])
        elif what < 0.45 and open_stages:
            open_stages.pop()
            work.finish()
        elif open_stages:
            place = chance.randrange(len(open_stages))
            work.advance(place, chance.randrange(80))
        shares.append(work.share)
    assert all(0.0 <= before <= after <= 1.0 for before, after in itertools.pairwise(shares))


def test_percents_on_the_screen_never_fall(tmp_path: Path) -> None:
    """The events of a job that misses its target, whatever it takes to find that out."""
    drawn = screen()
    display = ProgressDisplay(drawn)
    for event in (
        StageStarted("load"),
        StageAdvanced("load", 30, 120),
        StageFinished("load", 1.0),
        WorkAhead(5000, 60),
        StageStarted("float_eval", 20),
        *(StageAdvanced("float_eval", done) for done in range(0, 21, 5)),
        StageFinished("float_eval", 1.0),
        StageStarted("search", 20),
        *(StageAdvanced("search", done) for done in range(0, 21, 5)),
        StageFinished("search", 1.0),
        WorkAhead(4000, 300),
        StageStarted("search", 200),
        *(StageAdvanced("search", done) for done in range(0, 120, 10)),
        StageFinished("search", 1.0),
        WorkAhead(3000, 2900),
        StageStarted("search", 2900),
        *(StageAdvanced("search", done) for done in range(0, 2900, 100)),
        StageFinished("search", 1.0),
    ):
        display(event)
        drawn_now(display)
    display.close()
    shown = [
        int(found[1]) for found in re.finditer(r"whole job .*?(\d+)%", "\n".join(Screen().feed(text_of(drawn)).ever))
    ]
    assert shown == sorted(shown) and shown[0] == 0 and shown[-1] <= 100 and len(set(shown)) > 3
