"""A command run in a process of its own: how long it took, and how much memory it held at most."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        status: exit status.
        seconds: wall time from start to end.
        peak_mib: largest resident set, of the process alone.
        output: what it wrote on both streams.
        cpu_seconds: of the processor, of the process alone.
    """

    status: int
    seconds: float
    peak_mib: float
    output: str
    cpu_seconds: float = 0.0


def python(arguments: Sequence[str]) -> Ended:
    """Run this interpreter with the given arguments in the repository's root."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None  # a pipe was asked for
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = usage.ru_maxrss * unit / 2**20
    return Ended(child.returncode, time.perf_counter() - start, peak, output, usage.ru_utime + usage.ru_stime)
