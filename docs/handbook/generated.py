"""The files of docs/ and conf/ that are generated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.handbook.command_page import command_page
from docs.handbook.configuration_page import configuration_page
from docs.handbook.events_page import events_page
from docs.handbook.groups_page import groups_page
from docs.handbook.python_page import python_page
from docs.handbook.status_page import status_page
from runner.app.schema.__main__ import text as schema_text

# File below the repository's root -> its text.
GENERATED: dict[str, Callable[[], str]] = {
    "docs/reference/configuration.md": configuration_page,
    "docs/reference/groups.md": groups_page,
    "docs/reference/command-line.md": command_page,
    "docs/reference/exit-status.md": status_page,
    "docs/reference/events.md": events_page,
    "docs/reference/python.md": python_page,
    "conf/schema.json": schema_text,
}


def write(root: Path) -> list[str]:
    """Write every generated file whose text is another now, and return their names."""
    changed = []
    for name, text in GENERATED.items():
        file, now = root / name, text()
        if not file.is_file() or file.read_text(encoding="utf-8") != now:
            file.write_text(now, encoding="utf-8")
            changed.append(name)
    return changed
