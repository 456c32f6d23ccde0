"""A bar for the stage and one for the whole job on a terminal, both gone at the end; now and then a line elsewhere.

All of it is on standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from runner.app.loudness import Loudness
from runner.app.work_done import WorkDone
from runner.events import DOWNLOAD, Event, StageAdvanced, StageFinished, StageStarted, TrialFinished, Warned, WorkAhead
from runner.printable import printable
from runner.report.layout import console as console_on
from runner.report.layout import wrapped

TRACK = "track"
_NAMES = {
    DOWNLOAD: "download",
    "load": "load the model",
    "float_eval": "evaluate the float model",
    "calibrate": "calibrate",
    "rank": "rank the layers",
    "search": "search",
    "final_eval": "evaluate the result",
    "write": "write the files",
    "verify": "verify the files",
    "look_inside": "look inside the model",
    TRACK: "log to MLflow",
}
_WHOLE = "whole job"
# Name, bar, and what follows it: 79 columns in all.
_NAME_WIDTH, _BAR_WIDTH = 33, 10
# Where there are no bars a stage that took so long has a line, and a plan after so long without one, unless everything is told.
_LONG_SECONDS = 10.0


class _Done(ProgressColumn):
    """How much is done: bytes of a download, a share of the whole job, items of anything else."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._items = DownloadColumn(binary_units=False), MofNCompleteColumn()

    def render(self, task: Task) -> Text:
        if task.fields["stage"] == _WHOLE:
            # Never more than is done.
            return Text(f"{int(100 * task.completed)}%")
        return (self._bytes if task.fields["stage"] == DOWNLOAD else self._items).render(task)


class _Rate(ProgressColumn):
    """Items a second; of a finished stage over its whole time."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        counted = task.fields["stage"] not in (DOWNLOAD, _WHOLE)
        return Text("" if speed is None or not counted else f"{speed:.0f}/s")


@dataclass(slots=True)
class _Stage:
    """A stage under way.

    Attributes:
        bar: None where there are no bars.
    """

    event: StageStarted
    name: str
    bar: TaskID | None = None


class ProgressDisplay:
    """Shows stages and trials; a listener for ``emit``.

    Args:
        screen: where; standard error by default.
        loudness: of the job.
        label: of a job of a sweep.
        tracked: whether a tracker is told after the result, which the bar of the whole job counts too.
        now: gives seconds from anywhere on.
    """

    def __init__(
        self,
        screen: Console | None = None,
        *,
        loudness: Loudness = "short",
        label: str = "",
        tracked: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen or console_on(sys.stderr)
        self._loudness, self._label, self._now = loudness, label, now
        self._told = now()
        self._stages: list[_Stage] = []
        self._work = WorkDone(after=1 if tracked else 0)
        self._job: TaskID | None = None
        self._bars: Progress | None = None
        self._start_bars()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StageStarted():
                self._begin(event)
            case StageAdvanced():
                self._advance(event)
            case WorkAhead():
                self._work.plan(event.items if event.likely is None else event.likely)
                self._show_work()
            case StageFinished():
                self._finish(event)
            case TrialFinished():
                self._tell(_said_of(event), long=self._now() - self._told >= _LONG_SECONDS)
            case Warned():
                self._warn(event.message)
            case _:
                pass

    def close(self) -> None:
        """Take the bars away, until a next stage begins."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._job = None
            self._stages.clear()

    def _start_bars(self) -> None:
        screen = self._screen
        if self._loudness in ("quiet", "json") or not screen.is_terminal or screen.is_dumb_terminal:
            return
        self._bars = Progress(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=_BAR_WIDTH),
            _Done(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
            # What others print must not go where the bars are: one of the two may be a file.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bars.start()

    def _begin(self, event: StageStarted) -> None:
        if self._bars is None:
            self._start_bars()
        name = _NAMES.get(event.stage, event.stage) + (f" ({printable(event.detail)})" if event.detail else "")
        stage = _Stage(event, name)
        if self._bars is not None:
            stage.bar = self._bars.add_task(name, total=event.total or None, stage=event.stage)
            self._show_work()
        self._work.begin(event.total if event.stage != DOWNLOAD else 0)
        self._stages.append(stage)

    def _advance(self, event: StageAdvanced) -> None:
        # One stage may go on within another.
        place = next(
            (p for p in reversed(range(len(self._stages))) if self._stages[p].event.stage == event.stage), None
        )
        if place is None:
            return
        bar = self._stages[place].bar
        if self._bars is not None and bar is not None:
            total = event.total or self._bars.tasks[self._bars.task_ids.index(bar)].total
            done = event.done if total is None else min(event.done, total)
            self._bars.update(bar, total=total, completed=done)
        self._work.advance(place, event.done)
        self._show_work()

    def _finish(self, event: StageFinished) -> None:
        if not self._stages or self._stages[-1].event.stage != event.stage:
            return
        stage = self._stages.pop()
        self._work.finish()
        if self._bars is not None and stage.bar is not None:
            self._bars.remove_task(stage.bar)
        self._show_work()
        self._tell(f"{stage.name}: {event.seconds:.1f} s", long=event.seconds >= _LONG_SECONDS)

    def _show_work(self) -> None:
        """Show how much of the whole job is done, once it is known how much there is."""
        if self._bars is None or not self._work.is_planned:
            return
        if self._job is None:
            self._job = self._bars.add_task(self._label or _WHOLE, total=1.0, stage=_WHOLE)
        self._bars.update(self._job, completed=self._work.share)

    def _tell(self, text: str, *, long: bool) -> None:
        """Print a line where everything is told, or where there are no bars and it has been long."""
        if self._loudness == "full" or (self._loudness == "short" and long and self._bars is None):
            self._told = self._now()
            self._print(Text(text))

    def _warn(self, message: str) -> None:
        text = f"warning: {printable(message)}"
        if self._screen.is_terminal:
            text = "\n".join(wrapped(text, self._screen.width - len(self._prefix)))
        warning = Text(text)
        warning.stylize("yellow", 0, len("warning: "))
        self._print(warning)

    @property
    def _prefix(self) -> str:
        """What tells this job's lines from those of others; where all lines have a label, that stands there already."""
        return f"[{self._label}] " if self._label and not hasattr(self._screen.file, "taken") else ""

    def _print(self, text: Text) -> None:
        for line in text.split("\n"):
            self._screen.print(Text(self._prefix) + line, highlight=False, soft_wrap=True)


def _said_of(trial: TrialFinished) -> str:
    verdict = "accepted" if trial.accepted else "not accepted"
    loss = f"loss {trial.loss:.4g}"
    if trial.settled_after is not None:
        loss = f"loss about {trial.loss:.4g} (settled after {trial.settled_after} items)"
    return f"  plan {trial.step}: {len(trial.fallback)} layers float, {loss}, {verdict}"
