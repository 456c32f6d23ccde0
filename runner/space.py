"""How much room a disk has where something is to be written, whether its folder exists yet or not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# What a job of the smallest model writes: logs, a report, a database.
NEEDED_BYTES = 20_000_000


def nearest_folder(path: Path) -> Path:
    """Return a path itself, or the nearest above it that exists."""
    found = path.absolute()
    while not os.path.lexists(found) and found != found.parent:
        found = found.parent
    return found


def free_bytes(path: Path) -> int | None:
    """Return how many bytes may be written below a path; None where the system does not tell."""
    try:
        return shutil.disk_usage(nearest_folder(path)).free
    except (OSError, AttributeError):  # Python has no disk_usage where the system has no statvfs
        return None
