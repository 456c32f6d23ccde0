"""How many jobs are under way on this machine, so that they share its cores instead of each taking all.

A job holds a file locked in a folder of its user while it runs. The lock goes with the process, however it ends, so nothing
needs to be tidied up after ``kill -9``.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_SUFFIX = ".job"


def default_folder() -> Path:
    """Return where this user's jobs are counted."""
    return Path(tempfile.gettempdir()) / f"quant-runner-{os.getuid()}"


@contextlib.contextmanager
def counted_as_live(folder: Path) -> Iterator[Callable[[], int]]:
    """Count a job as under way meanwhile; gives a function that returns how many there are, this one included.

    Where the folder cannot be written there is only this one.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_held(folder))
        except OSError as error:
            logger.info("jobs beside this one are not seen: %s", error)
            yield lambda: 1
            return
        yield lambda: max(1, sum(map(_is_held, folder.glob(f"*{_SUFFIX}"))))


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder)
    path = Path(name)
    try:
        # Locked before it bears the name that is looked for, so that nobody finds it without its lock.
        fcntl.flock(handle, fcntl.LOCK_EX)
        path = path.rename(path.with_suffix(_SUFFIX))
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is_held(path: Path) -> bool:
    """Return whether a job's file is locked; one whose process was killed is removed."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    except OSError:  # gone meanwhile
        pass
    return False
