"""What a page shows to be typed or kept in a file: its code blocks, and the statements of those for a shell."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^( *)(```+)([\w-]*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|(?<=\n\n))((?: {4,}[^\n]*\n|\n(?= {4}))+)", re.MULTILINE)
_COMMANDS = re.compile(
    r"(?:\$ )?(?:python3?|pip|quant-\w+(?:-\w+)?|mlflow|atc|trtexec|eval|docker|git|cp|mkdir|yolo|ray|export)(?= |$)"
)
SHELLS = ("sh", "bash", "console", "shell")
# A file's name stands in its first line as a comment, or right before the block.
_NAME_INSIDE = re.compile(r"\A(?:#|//) ([\w./-]+\.(?:py|yaml|yml|cfg|txt|json))\s*\n")
_NAME_BEFORE = re.compile(r"`([\w./-]+\.(?:py|yaml|yml|cfg|txt))`[^`\n]*:\n\s*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block.

    Attributes:
        kind: the language that its fence names, ``sh`` of an indented one that begins with a command.
        text: without the page's indentation.
        file: the name that the page gives to it as a file, if any.
    """

    kind: str
    text: str
    file: str | None = None


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page that something can be done with, in their order."""
    found = [(match.start(), _fenced(match, page)) for match in _FENCE.finditer(page)]
    # Of what is fenced nothing is looked at again; its place is kept, so that the order is the page's.
    rest = _FENCE.sub(lambda match: re.sub(r"[^\n]", "~", match[0]), page)
    for match in _INDENTED.finditer(rest):
        # Output may stand behind the command, in the same block.
        typed = [one for one in statements(textwrap.dedent(match[1]).strip("\n")) if _COMMANDS.match(one)]
        if typed:
            found.append((match.start(), Block("sh", "\n".join(typed) + "\n")))
    return [block for _, block in sorted(found, key=lambda one: one[0])]


def _fenced(match: re.Match[str], page: str) -> Block:
    text = textwrap.dedent(match[4])
    inside, before = _NAME_INSIDE.match(text), _NAME_BEFORE.search(page[: match.start()])
    named = inside or before
    return Block("sh" if match[3] in SHELLS else match[3], text, named[1] if named else None)


def statements(text: str) -> Iterator[str]:
    """Yield what a shell is given, statement by statement: lines that belong together, and the parts of ``a && b``."""
    lines: list[str] = []
    for line in text.splitlines():
        if not lines and not line.strip():
            continue
        lines.append(line.removeprefix("$ "))
        whole = "\n".join(lines)
        if _goes_on(whole):
            continue
        lines = []
        yield from (part for part in _parts(whole) if not part.startswith("#"))
    if lines:
        yield "\n".join(lines)


def _parts(whole: str) -> Iterator[str]:
    """Yield the parts of ``a && b``, unless the marks stand in quotes."""
    said: list[str] = []
    for part in whole.split(" && "):
        said.append(part)
        if not _goes_on(" && ".join(said)):
            yield " && ".join(said).strip()
            said = []


def _goes_on(text: str) -> bool:
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def pages(root: Path) -> list[Path]:
    """Return the pages whose commands are run or listed: the README and docs/.

    Not what is generated from help, and not the Chinese pages, whose code is that of the English ones (``test_chinese.py``).
    """
    generated = {"command-line.md", "configuration.md", "groups.md", "python.md"}
    chinese = root / "docs" / "zh"
    found = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [page for page in found if page.name not in generated and chinese not in page.parents]
