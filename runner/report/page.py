"""A report as one HTML page: no network and no clock, so it can be mailed, kept and compared by bytes.

Its one script sorts and filters tables and turns the page dark or light; without it all is there as well. The page names the
script's digest to the browser, which runs nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runner.figure import Block, Part, Picture, Place, Report, Section, Step, Swatch
from runner.printable import printable, printable_lines
from runner.report.charts.style import STYLE
from runner.wording import Said, language_code, say, spoken

PAGE = "report.html"
_TEMPLATE, _SCRIPT, _STYLE = "page.html.j2", "page.js", "page.css"
_PLACES: tuple[Place, ...] = typing.get_args(Place)
# Tables with fewer rows need no filter.
_MANY_ROWS = 12
_WORDS = {
    "on": say("on"),
    "contents": say("Contents"),
    "figures": say("Figures"),
    "warnings": say("Worth knowing"),
    "theme": say("Dark or light"),
    "filter": say("Filter"),
    "all": say("all"),
}


@dataclass(slots=True)
class _Part:
    """What stands under one heading, of all sections that have it."""

    name: str
    heading: str
    place: Place
    steps: list[Step] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    @property
    def shown(self) -> bool:
        return bool(self.steps or self.sentences or self.blocks)

    @property
    def rows(self) -> list[Sequence[Block]]:
        """The blocks; pictures that follow each other stand side by side."""
        return list(_beside(self.blocks))


def page(report: Report) -> str:
    """Return the page, in the language that is being spoken."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=in_a_page,
    )
    environment.filters |= {"marked": _marked, "base64": _base64}
    script = (folder / _SCRIPT).read_text(encoding="utf-8")
    top, *parts = _parts(report.sections)
    return environment.get_template(_TEMPLATE).render(
        report=report,
        top=top,
        parts=sorted((part for part in parts if part.shown), key=lambda part: _PLACES.index(part.place)),
        cards=[figure.card for figure in report.figures if figure.card is not None],
        svg=_svg,
        style=Markup((folder / _STYLE).read_text(encoding="utf-8") + STYLE),
        script=Markup(script),
        script_digest=_base64(hashlib.sha256(script.encode()).digest()),
        language=language_code(),
        words=_WORDS,
        many=_MANY_ROWS,
    )


def in_a_page(value: object) -> object:
    """Return what a template puts into a page: a text as it is spoken, with nothing in it that turns or breaks its line."""
    return printable_lines(spoken(value)) if isinstance(value, str) and type(value) in (str, Said) else value


def _parts(sections: Sequence[Section]) -> list[_Part]:
    """Return what stands under each heading, first that which stands under none."""
    parts = {"": _Part("", "", "figures")}
    for section in sections:
        part = parts.setdefault(section.heading, _Part(section.name, section.heading, section.place))
        part.steps += [step for step in section.steps if step.page_command]
        part.sentences += [figure.sentence for figure in section.figures if figure.sentence]
        part.blocks += section.blocks
    return list(parts.values())


def _beside(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    row: list[Block] = []
    for block in blocks:
        if not (isinstance(block, Picture) and block.svg):
            if row:
                yield row
            row = []
            yield [block]
        else:
            row.append(block)
    if row:
        yield row


def _svg(drawn: str | Callable[[], str]) -> Markup:
    """Return a picture's text, which is our own: what it says is escaped where it is made."""
    return Markup(drawn if isinstance(drawn, str) else drawn())


def _base64(data: bytes) -> Markup:
    """Return bytes as a page holds them: no text that is cut where it is too long for a line."""
    return Markup(base64.b64encode(data).decode("ascii"))


def _marked(parts: Sequence[Part]) -> Markup:
    return Markup("").join(_text(part) for part in parts)


def _text(part: Part) -> Markup:
    if isinstance(part, str):
        return Markup.escape(printable_lines(spoken(part)))
    if isinstance(part, Swatch):
        look = f"border-top: 3px {part.line} {part.colour}" if part.line else f"background: {part.colour}"
        kind = "stroke" if part.line else "swatch"
        return Markup('<span class="{}" style="{}"></span>').format(kind, look)
    if part.kind == "code":
        return Markup("<code>{}</code>").format(printable(spoken(part.text)))
    return Markup('<span class="{}">{}</span>').format(part.kind, printable(spoken(part.text)))
