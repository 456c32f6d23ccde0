"""What a report is made of: figures, each told once, in sections. Terminal, page, summary.json and MLflow know nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Card:
    """A figure to see first on the page: what it is, the figure, what stands below it, and how sure it is."""

    title: str
    figure: str
    below: str
    sure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something that a job found; where a field is empty it is not told there.

    Attributes:
        key: in summary.json; a path where objects lie in objects.
        value: a plain value of JSON.
        tracked: the name under which sweeps compare the value, as ``group/name``.
        title: of its row in the terminal; of rows that follow each other with one title the first shows it.
        phrase: the row.
        sentence: on the page.
        card: on the page.
    """

    key: str | tuple[str, ...] = ()
    value: Any = None
    tracked: str = ""
    title: str = ""
    phrase: str = ""
    sentence: str = ""
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A text of a kind that the page has a look for: ``code``, or a class of its style sheet."""

    text: str
    kind: str


Text = str | Marked


@dataclass(frozen=True, slots=True)
class Swatch:
    """A sample of a colour in a line of text, as a legend has it.

    Attributes:
        colour: as ``#rrggbb``, or of a line.
        line: ``solid``, ``dashed`` or ``dotted``, as lines of that colour are drawn; empty for an area.
    """

    colour: str
    line: str = ""


Part = Text | Swatch


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph on the page; a soft one is less than the others."""

    shape: ClassVar[str] = "paragraph"
    parts: Sequence[Part]
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; its kind is ``number``, ``name`` (may be broken anywhere) or empty."""

    title: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; its kind is a class of the page's style sheet, or empty."""

    cells: Sequence[Text]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table on the page, which readers sort and filter.

    Attributes:
        choices: kinds of rows that can be shown alone, and what each is called.
    """

    shape: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Row]
    choices: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on the page: the text of an SVG of our own, or what draws one in the page's language; or a PNG or JPEG."""

    shape: ClassVar[str] = "picture"
    svg: str | Callable[[], str] = ""
    png: bytes = b""
    jpeg: bytes = b""
    shows: str = ""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """An item on the page: its name, pictures side by side over what each shows, and lines of text below."""

    title: Sequence[Part]
    pictures: Sequence[Picture] = ()
    lines: Sequence[Sequence[Part]] = ()


@dataclass(frozen=True, slots=True)
class Exhibits:
    """Items on the page, one after the other."""

    shape: ClassVar[str] = "exhibits"
    items: Sequence[Exhibit]


@dataclass(frozen=True, slots=True)
class Links:
    """Files of the job on the page, by their paths within its folder."""

    shape: ClassVar[str] = "links"
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list on the page."""

    shape: ClassVar[str] = "bullets"
    items: Sequence[Sequence[Part]]


@dataclass(frozen=True, slots=True)
class Code:
    """Text as it is, on the page: a command, or a file."""

    shape: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What is shown where its title is clicked."""

    shape: ClassVar[str] = "folded"
    title: str
    blocks: Sequence[Block]


Block = Paragraph | Table | Picture | Exhibits | Links | Bullets | Code | Folded
# Where a section stands on the page, from its top to its end.
Place = Literal["result", "figures", "pictures", "layers", "changes", "nodes", "proof", "again"]


@dataclass(frozen=True, slots=True)
class Step:
    """How to go on: a command to copy, and what it is for.

    Attributes:
        why: for the terminal.
        command: with absolute paths, for the terminal.
        on_page: what it is for, on the page.
        page_command: with paths within the job's folder; without it the page does not tell of the step.
        brief: whether it is the one to take next, which stands below the short verdict.
    """

    why: str
    command: str
    on_page: Sequence[Text] = ()
    page_command: str = ""
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table for the terminal, and lines below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the short verdict in the terminal: what it is about in a word or two, and what is said of it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that matters, which the short verdict names: what it is in a word or two, and where it lies."""

    title: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures that belong together, and what is shown with them.

    Attributes:
        name: of the section, unique within a report.
        heading: on the page; sections of one heading stand together, those without one below the cards.
        place: on the page; that of the first section decides where several have one heading.
        blocks: on the page, below the heading and the figures' sentences.
        lines: for the terminal, below the verdict, never wrapped.
        grid: for the terminal, below the rows.
        steps: how to go on.
        brief: for the short verdict in the terminal.
        files: that the short verdict names.
    """

    name: str
    figures: Sequence[Figure] = ()
    heading: str = ""
    blocks: Sequence[Block] = ()
    lines: Sequence[str] = ()
    grid: Grid | None = None
    steps: Sequence[Step] = ()
    place: Place = "figures"
    brief: Sequence[Line] = ()
    files: Sequence[NamedFile] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a job.

    Attributes:
        verdict: what its status means, and the colour to say it in.
        sections: in the order in which people read them.
        outcome: the deciding figure and the loss, for the line that begins with the verdict.
    """

    mode: str
    model: str
    dataset: str
    verdict: tuple[str, str]
    warnings: Sequence[str]
    sections: Sequence[Section]
    outcome: str = ""

    @property
    def figures(self) -> list[Figure]:
        """All figures, in reading order."""
        return [figure for section in self.sections for figure in section.figures]
