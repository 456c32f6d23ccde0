"""What the configuration's own comments say of its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml


def heading(text: str) -> str:
    """Return what a configuration file says of itself: the comment lines that it begins with, in one."""
    said = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(("# @package", "# yaml-language-server")):
            said.append(line.lstrip("# ").rstrip())
    return " ".join(said)


def comments(text: str) -> dict[str, str]:
    """Return dotted key -> the comment behind it, with the lines below that continue it.

    Entries of a defaults list stand under the group that they choose: ``/metric`` as ``metric``.
    """
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found = {} if root is None else {key: _comment(lines, *place) for key, place in _places(root, "")}
    return {key: said for key, said in found.items() if said}


def _places(node: Any, above: str) -> Iterator[tuple[str, tuple[int, int]]]:  # noqa: ANN401 - yaml's nodes have no types
    """Yield each key with the line of its comment, and the column behind which that begins."""
    if isinstance(node, yaml.SequenceNode) and above == "defaults":
        for entry in node.value:
            yield from ((key.removeprefix("/"), place) for key, place in _places(entry, ""))
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = f"{above}.{key.value}" if above else key.value
        end = value.end_mark if value.end_mark.line == key.start_mark.line else key.end_mark
        yield path, (key.start_mark.line, end.column)
        yield from _places(value, path)


def _comment(lines: list[str], line: int, column: int) -> str:
    behind = re.match(r":?\s*(?:\{\})?\s*#\s*(.*)", lines[line][column:])
    if behind is None:
        return ""
    said, start = [behind[1]], lines[line].index("#", column)
    for below in lines[line + 1 :]:
        if not below.lstrip().startswith("#") or below.index("#") < start:
            break
        said.append(below.lstrip("# "))
    return " ".join(part.strip() for part in said)
