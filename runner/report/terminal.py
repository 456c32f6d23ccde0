"""A report in the terminal: a short verdict, or all that it tells."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.figure import Figure, Grid, Line, Report, Section
from runner.printable import printable, printable_lines
from runner.report.layout import beside, shortest, standard_output, wrapped

# Width of what stands before each line of the short verdict, and of the rows.
_ROOM, _ROOM_OF_ROWS = 13, 15
# The short verdict's order, whichever that of the page is.
_ORDER = (
    *("uncertainty", "closest_plan", "inputs", "layers", "data_split", "conversion", "prediction", "deployed"),
    *("to_the_chip", "to_the_runtime", "beside_the_models", "against_a_dump"),
)
_MORE = "verbose=true prints every figure; the report has pictures too"
# Its lines say what to do, so they stand below what there is.
_AT_THE_END = "next_try"


def print_verdict(report: Report) -> None:
    """Print what came of the job in one line, however long that gets."""
    print(printable(verdict(report)), flush=True)


def print_verdict_of(label: str, report: Report) -> None:
    """Print what came of a job of a sweep; what it was run on stands in the sweep's table."""
    _print_status(report, f"{report.verdict[0]}, {report.outcome}", standard_output(), label)


def print_short(report: Report) -> None:
    """Print what came of the job and what to do next, in about a dozen lines."""
    console = standard_output()
    sections = _ordered(report.sections)
    _print_status(report, verdict(report), console)
    for section in sections:
        _print_lines(section.brief if section.name != _AT_THE_END else (), console)
    print()
    for file in (file for section in sections for file in section.files):
        # Never broken, so that it can be copied.
        print(f"{file.title:<{_ROOM}}{printable(shortest(file.path))}")
    print(f"{'more':<{_ROOM}}{_MORE}")
    for section in sections:
        _print_lines(section.brief if section.name == _AT_THE_END else (), console)
    for step in (step for section in sections for step in section.steps if step.brief):
        print("", step.why, f"  {printable(step.command)}", sep="\n", flush=True)


def print_full(report: Report, root: Path, files: Sequence[Path], label: str = "") -> None:
    """Print all that a report tells, what came of the job first.

    Args:
        report: of a job.
        root: the job's folder.
        files: those of the result.
        label: of a job of a sweep.
    """
    console = standard_output()
    _print_status(report, verdict(report), console, label)
    for section in report.sections:
        for line in section.lines:
            print(printable(line))
    console.print(_Rows(report.figures))
    for grid in (section.grid for section in report.sections if section.grid is not None):
        console.print(grid_table(grid))
    for line in file_lines(root, files) + step_lines(report):
        print(printable(line), flush=True)


def verdict(report: Report) -> str:
    """Return what came of what, with the deciding figure."""
    subject = f"{report.verdict[0]}: {report.model} on {report.dataset}"
    return f"{subject}, {report.outcome}" if report.outcome else subject


def figures_table(report: Report) -> RenderableType:
    """Return the rows of the figures below what was run on what, and what came of it."""
    title = Text.assemble(shown(f"{report.model} on {report.dataset}: "), report.verdict)
    return Group(title, _Rows(report.figures))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The phrases of figures beside their titles, in whatever width there is."""

    figures: Sequence[Figure]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for title, phrase in _rows(self.figures):
            lines = beside(title, printable_lines(phrase), options.max_width, room=_ROOM_OF_ROWS)
            text = Text("\n".join(lines), no_wrap=True, overflow="ignore")
            text.stylize("bold", 0, len(title))
            yield text


def grid_table(grid: Grid) -> RenderableType:
    """Return a table with its lines below it; rows one below the other where a table would break words."""
    return _FittingGrid(grid)


@dataclass(frozen=True, slots=True)
class _FittingGrid:
    """A table where there is room for its longest words, or else a paragraph a row."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        grid, width = self.grid, options.max_width
        yield shown(grid.title)
        if sum(self._least_widths()) + 3 * len(grid.columns) + 1 <= width:
            table = Table()
            for heading, least in zip(grid.columns, self._least_widths(), strict=True):
                table.add_column(shown(heading), min_width=least, overflow="fold")
            for row in grid.rows:
                table.add_row(*map(shown, row))
            yield table
        else:
            for row in grid.rows:
                yield from map(_as_it_is, self._paragraph(row, width))
        for line in grid.below:
            yield from map(_as_it_is, wrapped(printable(line), width))

    def _least_widths(self) -> list[int]:
        cells = zip(self.grid.columns, *self.grid.rows, strict=True)
        return [max(shown(word).cell_len for cell in column for word in cell.split() or [""]) for column in cells]

    def _paragraph(self, row: Sequence[str], width: int) -> Iterator[str]:
        name, *cells = map(printable, row)
        yield from wrapped(name, width)
        told = [f"{heading} {cell}" for heading, cell in zip(self.grid.columns[1:], cells, strict=True) if cell]
        yield from beside("", "; ".join(told), width, room=2)


def shown(text: str) -> Text:
    """Return a cell or line: not markup, whatever brackets are in it, and nothing that steers the terminal."""
    return Text(printable(text))


def file_lines(root: Path, files: Sequence[Path]) -> list[str]:
    """Return the files of a job, below its folder."""
    return ["", f"Files in {root}:", *(f"  {path.relative_to(root)}" for path in sorted(files))]


def step_lines(report: Report) -> list[str]:
    """Return how to go on. Never wrapped: commands are to be copied."""
    lines = []
    for section in report.sections:
        lines += [""] if section.steps else []
        for step in section.steps:
            lines += [step.why, f"  {step.command}"]
    return lines


def _prefix(label: str) -> str:
    """Return what stands before a line of a sweep's job, unless every line of it has that."""
    return f"[{label}] " if label and not hasattr(sys.stdout, "taken") else ""


def _print_status(report: Report, said: str, console: Console, label: str = "") -> None:
    (status, colour), prefix = report.verdict, _prefix(label)
    text = Text("\n".join(wrapped(printable(prefix + said), console.width)))
    text.stylize(f"bold {colour}", len(prefix), len(prefix) + len(status))
    console.print(text, soft_wrap=True)


def _print_lines(lines: Sequence[Line], console: Console) -> None:
    for line in lines:
        text = Text("\n".join(beside(line.title, printable(line.text), console.width, room=_ROOM)))
        text.stylize("bold", 0, len(line.title))
        console.print(text, soft_wrap=True)


def _ordered(sections: Sequence[Section]) -> list[Section]:
    def place(section: Section) -> int:
        return _ORDER.index(section.name) if section.name in _ORDER else len(_ORDER)

    return sorted(sections, key=place)


def _as_it_is(line: str) -> Text:
    return Text(line, no_wrap=True, overflow="ignore")


def _rows(figures: Sequence[Figure]) -> Iterator[tuple[str, str]]:
    shown = ""
    for figure in figures:
        if figure.phrase:
            yield "" if figure.title == shown else figure.title, figure.phrase
            shown = figure.title
