"""Which processes work on a study: each holds a file locked below it, and each of its trials another.

A lock goes with its process, however that ends. A process on another machine whose file system does not show locks is known by
the time of its file, which it touches again and again.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

_SUFFIX = ".worker"
_TOUCH_SECONDS = 10.0
_SILENT_SECONDS = 120.0
# Who looks whether a file is locked locks it for an instant, which another who looks must not take for a process.
_LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Presence:
    """This process among those of a study.

    Attributes:
        folder: where they are.
        name: this one's file.
    """

    folder: Path
    name: str
    _touched: float = 0.0

    def touch(self) -> None:
        """Show that this process is there; called at least every minute."""
        if time.monotonic() - self._touched > _TOUCH_SECONDS:
            os.utime(self.folder / self.name)
            self._touched = time.monotonic()

    def trial_lock(self, number: int) -> Path:
        """Return the file that a trial which this process begins holds locked while it lives."""
        return self.folder / f"{self.name}.{number}"

    def is_alive(self, name: str) -> bool:
        """Return whether a process, or a trial that it has begun, still works."""
        path = self.folder / name
        if name == self.name or _is_locked(path) or self._has_trials(name):
            return True
        if _host(name) == _host(self.name) or not path.is_file():
            return False
        # Held against a file that has just been touched there: clocks differ.
        own = self.folder / self.name
        os.utime(own)
        return own.stat().st_mtime - path.stat().st_mtime < _SILENT_SECONDS

    def is_ending(self, name: str) -> bool:
        """Return whether a process of this machine is gone, and a trial that it had begun is about to end."""
        if name == self.name or _host(name) != _host(self.name) or not self._has_trials(name):
            return False
        return not _is_locked(self.folder / name)

    def _has_trials(self, name: str) -> bool:
        return any(map(_is_locked, self.folder.glob(f"{glob.escape(name)}.*")))


@contextmanager
def present(folder: Path) -> Iterator[Presence]:
    """Count this process among those of a study meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(_SUFFIX, f"{_this_host()}-{os.getpid()}-", folder)
    os.close(handle)
    lock = FileLock(path)
    try:
        with contextlib.suppress(NotImplementedError):  # no locks there: known by the time of its file
            lock.acquire()
        yield Presence(folder, Path(path).name)
    finally:
        lock.release()
        for left in [path, *glob.glob(f"{glob.escape(path)}.*")]:
            if not _is_locked(Path(left)):
                Path(left).unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    """Return whether a file is there and locked; its time stays, which tells when its process was last there."""
    try:
        before = path.stat()
        try:
            with FileLock(path, timeout=_LOOK_SECONDS):
                return False
        finally:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def _this_host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname()) or "host"


def _host(name: str) -> str:
    return name.partition("-")[0]
