"""A sweep in the terminal: a row a job, in whatever width there is, also where a log has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from runner.printable import printable
from runner.report.layout import shortest, wrapped
from runner.report.sweep.files import CSV, HTML, JSON
from runner.report.sweep.swept import RULE, Sweep, SweptJob
from runner.report.terminal import shown

# Width of what follows the options: six columns of figures, with what stands between.
_FIGURES = 48
_ROOM = 13
_MISSING = ("failed", "interrupted", "not run", "running")
_COLOURS = {"met": "green", "converted": "green", "not_met": "red", "failed": "bold red", "interrupted": "yellow"}


def print_sweep(sweep: Sweep, console: Console, *, full: bool = True) -> None:
    """Print the table, and below it what went wrong and where everything is.

    Args:
        sweep: to show.
        console: where.
        full: whether every report is named, or the best job's and the page that leads to all.
    """
    console.print(sweep_table(sweep, console.width, links=console.is_terminal))
    for line in wrong_lines(sweep):
        # A log has a line a job; a terminal would break it anywhere.
        parts = wrapped(printable(line), console.width) if console.is_terminal else [line]
        console.print(shown_lines(parts), soft_wrap=True, highlight=False)
    for line in place_lines(sweep) if full else first_places(sweep):
        console.print(shown(line), soft_wrap=True, highlight=False)


def sweep_verdict(sweep: Sweep) -> str:
    """Return what came of the jobs, and the best of them, in a line."""
    counts = Counter(job.status for job in sweep.jobs)
    said = f"sweep of {_count(sweep)} {sweep.subject}".rstrip().removesuffix(":")
    said += ": " + ", ".join(f"{count} {status}" for status, count in counts.items())
    best = sweep.best
    if best is None:
        return said
    share = "" if best.int8_share is None else f", {best.int8_share:.1%} of multiply-accumulates in int8"
    return f"{said}; best: {best.number} {best.label}, loss {best.loss:.4g}{share}"


def sweep_table(sweep: Sweep, width: int, *, links: bool) -> RenderableType:
    """Return a row a job: what it varies, status, loss, int8 layers and multiply-accumulates, seconds; the best one marked.

    Args:
        sweep: to show.
        width: of the terminal.
        links: whether it follows links.
    """
    keys = _keys_with_room(sweep, width - _FIGURES)
    table = Table(
        title=shown(f"sweep of {_count(sweep)} {sweep.subject}".rstrip()), title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("", no_wrap=True, justify="right")
    for key in keys or ["varied"]:
        # Fold, never cut: a value has no spaces to break at.
        table.add_column(shown(key), overflow="fold", min_width=6)
    table.add_column("status", no_wrap=True)
    for heading in ("loss", "int8", "MACs", "s"):
        table.add_column(heading, no_wrap=True, justify="right")
    for job in sweep.jobs:
        options = [job.varied.get(key, "") for key in keys] or [job.label]
        style = "bold" if job is sweep.best else ""
        table.add_row(_number(job, sweep), *map(shown, options), *_figures(job, sweep.folder, links=links), style=style)
    return Group(table, Text(f"* best: {RULE}")) if sweep.best is not None else table


def wrong_lines(sweep: Sweep) -> list[str]:
    """Return why jobs have no result, and how to have them run."""
    lines = [f"{job.number} {job.label}: {job.reason}" for job in sweep.jobs if job.reason]
    idle = [str(job.number) for job in sweep.jobs if job.status == "not run"]
    lines += [f"not run: {', '.join(idle)}"] if idle else []
    if any(job.status in _MISSING for job in sweep.jobs):
        again = (
            f"sweep.name={sweep.folder.name}"
            if sweep.folder.parent.name == "sweeps"
            else f"hydra.sweep.dir={sweep.folder}"
        )
        lines.append(f"The same command with {again} does only what is missing.")
    return lines


def first_places(sweep: Sweep) -> list[str]:
    """Return where to look first: the best job's report, and the page of all jobs."""
    best = sweep.best
    reports = [f"{'best job':<{_ROOM}}{shortest(sweep.folder / best.report)}"] if best and best.report else []
    return ["", *reports, f"{'all jobs':<{_ROOM}}{shortest(sweep.folder / HTML)}"]


def place_lines(sweep: Sweep) -> list[str]:
    """Return each job's report, and the sweep's own files."""
    reports = [job for job in sweep.jobs if job.report]
    lines = ["", "Reports:"] if reports else []
    lines += [f"  {job.number}{'*' if job is sweep.best else ''}: {sweep.folder / job.report}" for job in reports]
    return [*lines, "", "The whole sweep:", *(f"  {sweep.folder / name}" for name in (HTML, CSV, JSON))]


def shown_lines(lines: Sequence[str]) -> Text:
    """Return lines as they are."""
    return Text("\n").join(map(shown, lines))


def _figures(job: SweptJob, folder: Path, *, links: bool) -> list[Text]:
    link = (folder / job.report).as_uri() if links and job.report else None
    status = Text(job.status, Style.parse(_COLOURS.get(job.status, "none")) + Style(link=link))
    loss = "" if job.loss is None else f"{job.loss:.4g}"
    share = "" if job.int8_share is None else f"{job.int8_share:.1%}"
    seconds = "" if job.seconds is None else f"{job.seconds:.1f}"
    return [status, *map(Text, (loss, job.layers, share, seconds))]


def _number(job: SweptJob, sweep: Sweep) -> Text:
    return Text(f"{'*' if job is sweep.best else ''}{job.number}")


def _keys_with_room(sweep: Sweep, room: int) -> list[str]:
    """Return the keys that get a column each, or none where one column has to hold all options."""
    widths = [
        max(Text(text).cell_len for text in (key, *(j.varied.get(key, "") for j in sweep.jobs))) for key in sweep.keys
    ]
    return list(sweep.keys) if len(sweep.keys) > 0 and sum(width + 2 for width in widths) <= room else []


def _count(sweep: Sweep) -> str:
    return f"{len(sweep.jobs)} job{'' if len(sweep.jobs) == 1 else 's'}" + (":" if sweep.subject else "")
