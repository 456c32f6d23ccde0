"""One bar a stage on a terminal and one for the whole job, one line a stage elsewhere; both on standard error."""

from __future__ import annotations

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
from rich.text import Text

from runner.events import DOWNLOAD, Event, StageAdvanced, StageFinished, StageStarted, TrialFinished, Warned, WorkAhead
from runner.printable import printable

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
    "track": "log to MLflow",
}


class _Done(ProgressColumn):
    """How much is done: bytes of a download, items of anything else."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._items = DownloadColumn(binary_units=False), MofNCompleteColumn()

    def render(self, task: Task) -> Text:
        return (self._bytes if task.fields["stage"] == DOWNLOAD else self._items).render(task)


class _Rate(ProgressColumn):
    """Items a second; of a finished stage over its whole time."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None or task.fields["stage"] == DOWNLOAD else f"{speed:.0f}/s")


class ProgressDisplay:
    """Shows stages and trials; a listener for ``emit``."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._job: TaskID | None = None
        self._before = 0.0
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<28}", markup=False),
                BarColumn(),
                _Done(),
                _Rate(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=False,
            )
            self._bars.start()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StageStarted():
                self._start(event)
            case StageAdvanced():
                if self._bars is not None and self._task is not None:
                    if event.total is not None:
                        self._bars.update(self._task, total=event.total)
                    self._bars.update(self._task, completed=event.done)
                    self._advance_job(event.done)
            case WorkAhead():
                self._plan(event.items)
            case StageFinished():
                self._finish(event)
            case TrialFinished():
                verdict = "accepted" if event.accepted else "not accepted"
                loss = f"loss {event.loss:.4g}"
                if event.settled_after is not None:
                    loss = f"loss about {event.loss:.4g} (settled after {event.settled_after} items)"
                self._line(f"  plan {event.step}: {len(event.fallback)} layers float, {loss}, {verdict}")
            case Warned():
                self._console.print(Text.assemble(("warning: ", "yellow"), printable(event.message)), soft_wrap=True)
            case _:
                pass

    def close(self) -> None:
        """Stop drawing."""
        if self._bars is not None:
            if self._job is not None:
                done = self._before or 1
                self._bars.update(self._job, total=done, completed=done)
            self._bars.stop()
            self._bars = None

    def _start(self, event: StageStarted) -> None:
        name = _NAMES.get(event.stage, event.stage) + (f" ({printable(event.detail)})" if event.detail else "")
        if self._bars is not None:
            self._task = self._bars.add_task(name, total=event.total or None, stage=event.stage)
        else:
            self._name = name

    def _plan(self, items: int) -> None:
        """Tell how long the whole job takes, at the pace so far, if all that may be ahead comes."""
        if self._bars is None:
            return
        if self._job is None:
            self._job = self._bars.add_task("whole job, at most", total=None, stage="job")
        self._bars.update(self._job, total=self._before + items)

    def _advance_job(self, done: float) -> None:
        if self._bars is not None and self._job is not None:
            self._bars.update(self._job, completed=self._before + done)

    def _finish(self, event: StageFinished) -> None:
        if self._bars is None:
            self._line(f"{self._name}: {event.seconds:.1f} s")
        elif self._task is not None:
            task = self._bars.tasks[self._task]
            # A search may end before it has used all the trials it could make.
            done = task.completed or 1
            if self._job is not None and task.total:
                # Nor does it look at what is remembered: that is not ahead any longer.
                job = self._bars.tasks[self._job]
                self._bars.update(self._job, total=max(0.0, (job.total or 0) - (task.total - task.completed)))
                self._before += task.completed
            self._bars.update(self._task, total=done, completed=done)
            self._task = None

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
