"""A report in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.figure import Figure, Grid, Report
from runner.printable import printable, printable_lines


def print_report(report: Report, root: Path, files: Sequence[Path]) -> None:
    """Print all that a report tells: what a user wants to know first, where the files are, how to go on.

    Args:
        report: of a job.
        root: the job's folder.
        files: those of the result.
    """
    for section in report.sections:
        for line in section.lines:
            print(printable(line))
    console = Console()
    for grid in (section.grid for section in report.sections if section.grid is not None):
        console.print(grid_table(grid))
    console.print(figures_table(report))
    console.print(_files(root, files))
    for line in step_lines(report):
        print(printable(line), flush=True)


def figures_table(report: Report) -> RenderableType:
    """Return the rows of the figures below what was run on what, and what came of it."""
    title = Text.assemble(shown(f"{report.model} on {report.dataset}: "), report.verdict)
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, phrase in _rows(report.figures):
        table.add_row(Text(name), Text(printable_lines(phrase)))
    return table


def grid_table(grid: Grid) -> RenderableType:
    """Return a table with its lines below it."""
    table = Table(title=shown(grid.title), title_justify="left")
    for heading in grid.columns:
        # Fold, never cut: a name of the model has no spaces to break at.
        table.add_column(shown(heading), overflow="fold")
    for row in grid.rows:
        table.add_row(*map(shown, row))
    return Group(table, *map(shown, grid.below))


def shown(text: str) -> Text:
    """Return a cell or line: not markup, whatever brackets are in it, and nothing that steers the terminal."""
    return Text(printable(text))


def _files(root: Path, files: Sequence[Path]) -> Text:
    return Text(
        "\n".join(map(printable, ["", f"Files in {root}:", *(f"  {path.relative_to(root)}" for path in sorted(files))]))
    )


def step_lines(report: Report) -> list[str]:
    """Return how to go on. Never wrapped: commands are to be copied."""
    lines = []
    for section in report.sections:
        lines += [""] if section.steps else []
        for step in section.steps:
            lines += [step.why, f"  {step.command}"]
    return lines


def _rows(figures: Sequence[Figure]) -> Iterator[tuple[str, str]]:
    shown = ""
    for figure in figures:
        if figure.phrase:
            yield "" if figure.title == shown else figure.title, figure.phrase
            shown = figure.title
