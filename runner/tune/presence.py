"""Which processes work on a study: each holds a file locked below it, and its trials inherit the lock.

The lock goes with the last of them, however they end. A process on another machine whose file system does not show locks is
known by the time of its file, which it touches again and again.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SUFFIX = ".worker"
_TOUCH_SECONDS = 10.0
_SILENT_SECONDS = 120.0


@dataclass(slots=True)
class Presence:
    """This process among those of a study.

    Attributes:
        folder: where they are.
        name: this one's file.
        handle: the lock; a process that inherits it keeps this one among the living.
    """

    folder: Path
    name: str
    handle: int
    _touched: float = 0.0

    def touch(self) -> None:
        """Show that this process is there; called at least every minute."""
        if time.monotonic() - self._touched > _TOUCH_SECONDS:
            os.utime(self.handle)
            self._touched = time.monotonic()

    def is_alive(self, name: str) -> bool:
        """Return whether a process, or a trial that it has begun, still works."""
        path = self.folder / name
        if name == self.name or _is_locked(path):
            return True
        if _host(name) == _host(self.name) or not path.is_file():
            return False
        # Held against a file that has just been touched there: clocks differ.
        os.utime(self.handle)
        return os.fstat(self.handle).st_mtime - path.stat().st_mtime < _SILENT_SECONDS

    def is_ending(self, name: str) -> bool:
        """Return whether a process of this machine is gone, and a trial that it had begun is about to end."""
        if name == self.name or _host(name) != _host(self.name) or not _is_locked(self.folder / name):
            return False
        found = re.search(r"-(\d+)-[^-]*$", name)
        return found is not None and not Path(f"/proc/{found[1]}").exists() and Path("/proc/self").exists()


@contextmanager
def present(folder: Path) -> Iterator[Presence]:
    """Count this process among those of a study meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(_SUFFIX, f"{_this_host()}-{os.getpid()}-", folder)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield Presence(folder, Path(path).name, handle)
    finally:
        Path(path).unlink(missing_ok=True)
        os.close(handle)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _this_host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname()) or "host"


def _host(name: str) -> str:
    return name.partition("-")[0]
