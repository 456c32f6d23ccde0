"""Files written whole or not at all: beside their place, flushed to disk, then renamed into it."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAME_KEPT = 40


def write_atomically(target: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` on a temporary file in the target's folder, flush it to disk and rename it into place."""
    path = written_aside(target, write)
    try:
        os.replace(path, target)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def written_aside(target: Path, write: Callable[[Path], Any]) -> Path:
    """Write and flush a temporary file in the target's folder, and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, stem(target))
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f"{stem(target)}{os.getpid()}.", suffix=".part")
    os.close(handle)
    path = Path(temporary)
    try:
        write(path)
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
        path.chmod(0o644)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return path


def stem(target: Path) -> str:
    """Return how the names of a file's temporary forms begin."""
    return f".{target.name[:_NAME_KEPT]}."


def remove_abandoned(folder: Path, stem: str) -> None:
    """Remove a file's, or folder's, temporary forms whose process was killed."""
    for path in folder.glob(f"{glob.escape(stem)}*.part"):
        process = path.name.removeprefix(stem).partition(".")[0]
        if not process.isdecimal() or _alive(int(process)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # there a signal of 0 would be Ctrl-C
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
