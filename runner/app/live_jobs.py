"""How many jobs are under way on this machine, so that they share its cores instead of each taking all.

A job holds a file locked in a folder of its user while it runs. The lock goes with the process, however it ends, so nothing
needs to be tidied up after ``kill -9``. It lies where all users may write, so it counts only if it is the user's own.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

_SUFFIX, _LOCK = ".job", ".lock"
# Who makes, counts or removes files holds the folder for milliseconds.
_WAIT_SECONDS = 5.0
# To count takes a millisecond.
_FRESH_SECONDS = 1.0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def default_folder() -> Path | None:
    """Return where this user's jobs are counted; None where no temporary file can be made."""
    try:
        with tempfile.TemporaryFile() as stream:
            user = os.fstat(stream.fileno()).st_uid
        return Path(tempfile.gettempdir()) / f"quant-runner-{user}"
    except OSError as error:
        logger.info("jobs beside this one are not seen: %s", error)
        return None


@contextlib.contextmanager
def counted_as_live(folder: Path | None) -> Iterator[Callable[[], int]]:
    """Count a job as under way meanwhile; gives a function that returns how many there are, this one included.

    Where the folder cannot be written, or is somebody else's, there is only this one.
    """
    with contextlib.ExitStack() as stack:
        try:
            if folder is not None:
                stack.enter_context(_held(folder))
        except (OSError, Timeout, NotImplementedError) as error:
            logger.info("jobs beside this one are not seen: %s", error)
            folder = None
        yield (lambda: 1) if folder is None else (lambda: _count(folder))


def counted_lately(live_jobs: Callable[[], int]) -> Callable[[], int]:
    """Return the same function for those who ask often: it counts anew when a second has passed."""
    found, counted = 1, -math.inf

    def count() -> int:
        nonlocal found, counted
        now = time.monotonic()
        if now - counted > _FRESH_SECONDS:
            found, counted = live_jobs(), now
        return found

    return count


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(folder)
    with contextlib.ExitStack() as stack:
        with FileLock(folder / _LOCK, timeout=_WAIT_SECONDS):
            handle, name = tempfile.mkstemp(_SUFFIX, dir=folder)
            os.close(handle)
            stack.callback(Path(name).unlink, missing_ok=True)
            stack.enter_context(FileLock(name, timeout=0))
        yield


def _require_own(folder: Path) -> None:
    """Raise OSError where a folder is a link, or another user's, or one that others may write: its files could be links too."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{folder} is no folder")
    with tempfile.TemporaryFile(dir=folder) as stream:
        own = os.fstat(stream.fileno()).st_uid
    # Windows tells no user and no such mode; there each user has a temporary folder of their own.
    if found.st_uid != own or (os.name == "posix" and found.st_mode & _OTHERS_WRITE):
        raise OSError(f"{folder} is another user's, or may be written by others")


def _count(folder: Path) -> int:
    try:
        with FileLock(folder / _LOCK, timeout=_WAIT_SECONDS):
            return max(1, sum(map(_is_held, folder.glob(f"*{_SUFFIX}"))))
    except (OSError, Timeout, NotImplementedError):
        return 1


def _is_held(path: Path) -> bool:
    """Return whether a job's file is locked; one whose process was killed is removed."""
    try:
        with FileLock(path, timeout=0):
            pass
    except Timeout:
        return True
    except OSError:  # gone meanwhile
        return False
    path.unlink(missing_ok=True)
    return False
