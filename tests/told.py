"""What is told of a result in each place."""

from __future__ import annotations

from typing import Any

from rich.console import Console, RenderableType

from runner.figure import Report
from runner.modes.result import JobResult
from runner.report import page, summary, tracked
from runner.report.terminal import figures_table
from runner.report.told import JobFacts, told


def report_of(result: JobResult) -> Report:
    return told(result, JobFacts())


def summary_of(result: JobResult, facts: JobFacts | None = None) -> dict[str, Any]:
    return summary.summary(told(result, facts or JobFacts()))


def page_of(result: JobResult, **facts: Any) -> str:
    return page.page(told(result, JobFacts(**facts)))


def tracked_of(result: JobResult) -> dict[str, float]:
    return tracked.tracked(report_of(result))


def rows_of(result: JobResult, width: int = 200) -> list[str]:
    """Return the lines that a terminal shows of the figures."""
    return printed(figures_table(report_of(result)), width)


def printed(table: RenderableType, width: int = 200) -> list[str]:
    """Return the lines that a terminal of some width shows."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]
