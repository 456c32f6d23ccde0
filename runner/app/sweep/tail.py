"""The events of jobs that run elsewhere, as lines of JSON of this command: read from the jobs' folders as they come."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

from runner.app import json_lines
from runner.app.journal import NAME
from runner.events import from_line

_PAUSE_SECONDS = 0.2
# A job that runs again begins its file anew, with another time in it.
_HEAD = 64


class Tail:
    """Says what the jobs of a sweep say, from now on; each line has its job's folder.

    Args:
        folder: of the sweep, which all machines share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # File -> its first bytes, and how many are read.
        self._read: dict[Path, tuple[bytes, int]] = {}
        for path in self._files():
            self._read[path] = (self._head(path), path.stat().st_size)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say what is left, and no more."""
        self._stopped.set()
        self._thread.join()
        self._look()

    def _follow(self) -> None:
        while not self._stopped.wait(_PAUSE_SECONDS):
            self._look()

    def _look(self) -> None:
        for path in self._files():
            with contextlib.suppress(OSError):
                self._say_new(path)

    def _say_new(self, path: Path) -> None:
        head, place = self._read.get(path, (b"", 0))
        now = self._head(path)
        if not now.startswith(head) or path.stat().st_size < place:
            place = 0
        with path.open("rb") as stream:
            stream.seek(place)
            new = stream.read()
        # Half a line is read when the rest of it is there.
        whole = new[: new.rfind(b"\n") + 1]
        self._read[path] = (now, place + len(whole))
        for text in whole.splitlines():
            if from_line(text) is not None:
                json_lines.say({"job": path.parent.name, **json.loads(text)})

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"[0-9]*_*/{NAME}"))

    def _head(self, path: Path) -> bytes:
        with path.open("rb") as stream:
            return stream.read(_HEAD)
