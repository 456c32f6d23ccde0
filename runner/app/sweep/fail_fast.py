"""``sweep.fail_fast=true``: after the first failed job no other begins, whichever process or machine would run it.

A job that fails leaves a file in the sweep's folder, and a job looks for it before it begins. Those under way by then go on.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

FAILED = ".failed"


def first_failed(sweep: Path) -> str | None:
    """Return the folder's name of the job that failed first; None as long as none has."""
    try:
        return (sweep / FAILED).read_text(encoding="utf-8")
    except OSError:
        return None


def tell_failed(sweep: Path, job: str) -> None:
    """Have no other job of the sweep begin, because this one failed."""
    with contextlib.suppress(FileExistsError), (sweep / FAILED).open("x", encoding="utf-8") as stream:
        stream.write(job)
