"""A report as one HTML page: no script, no network, no clock, so it can be mailed, kept and compared by bytes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runner.figure import Block, Part, Report, Section, Step, Swatch
from runner.printable import printable, printable_lines
from runner.report.charts.style import STYLE
from runner.wording import Said, language_code, spoken

PAGE = "report.html"
_TEMPLATE = "page.html.j2"


@dataclass(slots=True)
class _Part:
    """What stands under one heading, of all sections that have it."""

    heading: str
    steps: list[Step] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def page(report: Report) -> str:
    """Return the page, in the language that is being spoken."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=in_a_page,
    )
    environment.filters |= {"marked": _marked, "base64": _base64}
    top, *parts = _parts(report.sections)
    cards = [figure.card for figure in report.figures if figure.card is not None]
    return environment.get_template(_TEMPLATE).render(
        report=report,
        top=top,
        parts=parts,
        cards=cards,
        svg=_svg,
        charts=Markup(STYLE),
        language=language_code(),
    )


def in_a_page(value: object) -> object:
    """Return what a template puts into a page: a text as it is spoken, with nothing in it that turns or breaks its line."""
    return printable_lines(spoken(value)) if isinstance(value, str) and type(value) in (str, Said) else value


def _parts(sections: Sequence[Section]) -> list[_Part]:
    """Return what stands under each heading, first that which stands under none."""
    parts = {"": _Part("")}
    for section in sections:
        part = parts.setdefault(section.heading, _Part(section.heading))
        part.steps += [step for step in section.steps if step.page_command]
        part.sentences += [figure.sentence for figure in section.figures if figure.sentence]
        part.blocks += section.blocks
    return list(parts.values())


def _svg(drawn: str | Callable[[], str]) -> Markup:
    """Return a picture's text, which is our own: what it says is escaped where it is made."""
    return Markup(drawn if isinstance(drawn, str) else drawn())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


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
