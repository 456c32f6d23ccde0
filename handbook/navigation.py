"""The side bar: the sections of the front page, and every page of a section's folder.

Pages hold no directives, so that they read as well where no site is built; what Sphinx needs is put behind the front page when
it is read. A new page needs no entry: pages that its folder's index names come first, in that order, then the others by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FRONT = "index"
_LINK = re.compile(r"\]\((?!\w+:)([\w./-]+)\.md(?:#[\w-]*)?\)")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the site.

    Attributes:
        title: what the side bar calls it.
        folder: below docs/; empty for single pages.
        first: pages, without their ending, that come before those of the folder.
    """

    title: str
    folder: str = ""
    first: tuple[str, ...] = ()


SECTIONS = (
    Section("Start", first=("tutorial",)),
    Section("How-to guides", "howto"),
    Section("Coming from AMCT", first=("migration", "limits")),
    Section("Reference", "reference"),
    Section("Explanation", "explanation"),
    Section("Measured", "measured"),
    Section("中文", "zh"),
)


def pages_of(section: Section, docs: Path) -> list[str]:
    """Return the pages of a section, below docs/ and without their ending, in the order in which they are shown."""
    alone = [name for name in section.first if (docs / f"{name}.md").is_file()]
    if not section.folder:
        return alone
    there = sorted(path.relative_to(docs).with_suffix("").as_posix() for path in (docs / section.folder).rglob("*.md"))
    front = f"{section.folder}/{FRONT}"
    named = [f"{section.folder}/{name}" for name in linked(docs / f"{front}.md")]
    order = [front, *named, *there]
    return alone + [name for name in dict.fromkeys(order) if name in there]


def linked(page: Path) -> list[str]:
    """Return the pages that a page links to, without their ending, in their order; none where there is no such page."""
    return _LINK.findall(page.read_text(encoding="utf-8")) if page.is_file() else []


def _behind_the_front_page(app: Sphinx, name: str, source: list[str]) -> None:
    if name != FRONT:
        return
    for section in SECTIONS:
        pages = pages_of(section, Path(app.srcdir))
        if pages:
            listed = "\n".join(pages)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {section.title}\n\n{listed}\n```\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Have the front page followed by what the side bar shows."""
    app.connect("source-read", _behind_the_front_page)
    # Which pages there are is read from folders, so the front page is never up to date by itself.
    app.connect("env-get-outdated", lambda *_: [FRONT])
    return {"parallel_read_safe": True, "parallel_write_safe": True}
