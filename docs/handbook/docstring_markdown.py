"""Docstrings in Google's form as Markdown."""

from __future__ import annotations

import inspect
import re

from docs.handbook.markdown import words

_HEADS = ("Args", "Attributes", "Raises", "Returns", "Yields")
_SECTION = re.compile(rf"^({'|'.join(_HEADS)}):\n((?:    .*\n?|\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^    ([\w, *]+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def as_markdown(text: str | None) -> str:
    """Return a docstring as Markdown: paragraphs, and a list a section."""
    plain = inspect.cleandoc(text or "") + "\n"
    lead, *rest = _SECTION.split(plain)
    parts = [_paragraphs(lead)]
    for head, entries, after in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        parts += [f"{head}:", _entries(entries), _paragraphs(after)]
    return "\n\n".join(part for part in parts if part)


def _paragraphs(text: str) -> str:
    blocks = [block for block in re.split(r"\n\s*\n", text.strip("\n")) if block.strip()]
    return "\n\n".join(_fenced(block) if block.startswith("    ") else words(_code(block)) for block in blocks)


def _fenced(block: str) -> str:
    return f"```text\n{inspect.cleandoc(block)}\n```"


def _entries(text: str) -> str:
    found = _ENTRY.findall(text)
    if not found:
        return words(_code(inspect.cleandoc(text)))
    return "\n".join(f"* `{name}`: {words(_code(said))}" for name, said in found)


def _code(text: str) -> str:
    return text.replace("``", "`")
