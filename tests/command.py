"""The command line as a process of its own, and the files that it leaves."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Written by every start of a job, also by one that is refused; no part of a result.
_OF_THE_START = re.compile(r"(^|/)(\.hydra/.*|events\.jsonl|amct_onnx\.log|\.lock)$|^cache/")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command that finds this checkout from any directory."""
    plain = {
        key: value
        for key, value in os.environ.items()
        if key not in ("HYDRA_FULL_ERROR", "PYTHONWARNINGS", "PYTHONSAFEPATH")
    }
    return plain | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | more


def command(*arguments: str, cwd: Path, python: Sequence[str] = ()) -> Ended:
    """Run ``python -m runner`` with arguments in a directory."""
    line = [sys.executable, *python, "-m", "runner", *arguments]
    done = subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)
    return Ended(done.returncode, done.stdout, done.stderr)


def digests(folder: Path) -> dict[str, str]:
    """Return relative path -> sha256 of every file below a folder that belongs to a result, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _OF_THE_START.search(path.relative_to(folder).as_posix())
    }
