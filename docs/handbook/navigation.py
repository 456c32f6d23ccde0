"""The side bar: sections, and in each the pages of a folder below its front page.

Pages hold no directives, so that they read as well where no site is built; what Sphinx needs is put behind front pages when
they are read. A new page needs no entry: pages that its folder's front page names come first, in that order, then the others by
name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FRONT = "index"
CHINESE = "zh"
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
    Section("Before you choose", first=("migration", "limits")),
    Section("Reference", "reference"),
    Section("Explanation", "explanation"),
    Section("Measured", "measured"),
    Section("中文", CHINESE),
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


def _behind_a_front_page(app: Sphinx, name: str, source: list[str]) -> None:
    docs = Path(app.srcdir)
    if name == FRONT:
        for section in SECTIONS:
            pages = pages_of(section, docs)
            # The pages of a folder come below its own front page.
            source[0] += _tree(pages[:1] if f"{section.folder}/{FRONT}" in pages else pages, section.title)
    for section in SECTIONS:
        if name == f"{section.folder}/{FRONT}":
            source[0] += _tree(pages_of(section, docs)[1:])


def _tree(pages: list[str], title: str = "") -> str:
    if not pages:
        return ""
    listed = "\n".join(f"/{page}" for page in pages)
    caption = f":caption: {title}\n" if title else ""
    return f"\n\n```{{toctree}}\n:hidden:\n{caption}\n{listed}\n```\n"


def _language(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: object) -> None:
    """Say of a page which language it is in."""
    if name.startswith(f"{CHINESE}/"):
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> dict[str, Any]:
    """Have the front page followed by what the side bar shows."""
    app.connect("source-read", _behind_a_front_page)
    app.connect("html-page-context", _language)
    # Which pages there are is read from folders, so front pages are never up to date by themselves.
    app.connect("env-get-outdated", lambda app, *_: [name for name in app.env.found_docs if name.endswith(FRONT)])
    return {"parallel_read_safe": True, "parallel_write_safe": True}
