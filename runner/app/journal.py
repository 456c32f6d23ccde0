"""``events.jsonl``: everything a job says, one JSON object a line, on disk before anyone else reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from runner.app.json_lines import line
from runner.errors import OutputError
from runner.events import Event, StageAdvanced, from_line, to_json
from runner.inside import writable_place

NAME = "events.jsonl"


class Journal:
    """Appends events to a job's ``events.jsonl``; a listener for ``emit``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable_place(folder, NAME)
            # A byte of a file name that is no UTF-8 becomes an escape, which JSON reads back as what it was.
            self._stream: TextIO = self.path.open("w", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(
                f"paths.output: {folder} cannot be written: {error.strerror}. Set paths.output to a folder that can."
            ) from error

    def __call__(self, event: Event) -> None:
        """Write one event, without passwords of addresses; progress within a stage is not kept."""
        if isinstance(event, StageAdvanced):
            return
        try:
            self._stream.write(line(to_json(event)))
            self._stream.flush()
        except OSError as error:
            raise OutputError(
                f"paths.output: {self.path} cannot be written: {error.strerror}. Set paths.output to a folder that can."
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_events(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a job's folder, oldest first, up to a line that is none, such as a last one that was cut off."""
    path = folder / NAME
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for text in stream:
            event = from_line(text)
            if event is None:
                return
            yield event
