"""One job at a time in a folder: who comes second is told who is there, before anything is touched.

The lock goes with the process, however it ends, so after ``kill -9`` the folder is free. The empty lock file stays: one that
is removed and made again would be two locks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from runner.errors import OutputError
from runner.inside import writable_place

logger = logging.getLogger(__name__)
LOCK, HOLDER = ".lock", ".lock.json"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that writes into a folder.

    Attributes:
        process: its number.
        host: the machine it runs on.
        since: seconds since 1970.
    """

    process: int
    host: str
    since: float

    def __str__(self) -> str:
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.process} on {self.host}, since {begun}"


class HeldError(OutputError):
    """Another process writes into the folder.

    Attributes:
        holder: which; None where it has not said so yet.
    """

    def __init__(self, message: str, holder: Holder | None) -> None:
        super().__init__(message)
        self.holder = holder


@contextlib.contextmanager
def held(folder: Path, instead: str) -> Iterator[None]:
    """Hold a folder meanwhile.

    Args:
        folder: made if need be.
        instead: a sentence that says what to do where another process holds it.

    Raises:
        HeldError: another process does.
        OutputError: it cannot be made or written.
    """
    lock = take(folder, instead)
    try:
        yield
    finally:
        release(folder, lock)


def take(folder: Path, instead: str) -> FileLock | None:
    """Hold a folder until ``release``, or the end of this process; None where its file system knows no locks.

    Raises:
        HeldError: another process holds it.
        OutputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        holder = holder_of(folder)
        who = "another process" if holder is None else str(holder)
        raise HeldError(f"{folder}: a job writes there at this moment ({who}). {instead}", holder) from None
    except NotImplementedError as error:
        logger.info("%s: jobs that write there too are not seen: %s", folder, error)
        return None
    except OSError as error:
        raise OutputError(
            f"paths.output: {folder} cannot be written: {error.strerror}. Set paths.output to a folder that can."
        ) from error
    text = json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), time.time())))
    with contextlib.suppress(OSError):
        writable_place(folder, HOLDER).write_text(text, encoding="utf-8")
    return lock


def release(folder: Path, lock: FileLock | None) -> None:
    """Let others have the folder."""
    if lock is not None:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def holder_of(folder: Path) -> Holder | None:
    """Return who said last that it holds a folder."""
    try:
        return Holder(**json.loads((folder / HOLDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_held(folder: Path) -> bool:
    """Return whether a process holds a folder at this moment."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
