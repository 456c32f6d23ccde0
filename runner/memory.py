"""How much memory there is for a job, and a bound on what it takes, so that a model that asks for more ends with a sentence."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_QUOTA, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
_MACHINE = Path("/proc/meminfo")
# The rest is left to the system and to what else runs.
_SHARE = 0.9
# glibc's M_ARENA_MAX, and how many cores share a heap.
_MOST_HEAPS, _CORES_A_HEAP = -8, 4


def total_bytes(quota: Path = _QUOTA) -> int | None:
    """Return how much memory the machine has, or its container may use; None where the system does not tell.

    Args:
        quota: Linux's file of a container's bytes; "max" is no limit.
    """
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        return min(machine, int(quota.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return machine


def available_bytes(quota: Path = _QUOTA, used: Path = _USED, machine: Path = _MACHINE) -> int | None:
    """Return how much memory is free for this process and others to come; None where the system does not tell.

    Args:
        quota: Linux's file of the bytes that a container may use; "max" is no limit.
        used: its file of those in use.
        machine: its file of the whole machine's, a line a figure, in kB.
    """
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (line.split() for line in machine.read_text(encoding="ascii").splitlines())
        found += [1024 * int(line[1]) for line in lines if line[0] == "MemAvailable:"]
    with contextlib.suppress(OSError, ValueError):
        found.append(max(0, int(quota.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii"))))
    return min(found, default=None)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS tells bytes


def bound_memory() -> None:
    """Have this process be refused memory beyond most of the machine's, in place of being killed, and others with it.

    Does nothing where the system has no such bound, or has a lower one already.
    """
    total = total_bytes()
    try:
        import resource
    except ImportError:
        return
    if total is None or not hasattr(resource, "RLIMIT_DATA"):
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = int(total * _SHARE)
    if soft == resource.RLIM_INFINITY or soft > most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def share_heaps(cores: int) -> None:
    """Have threads that start from here on share heaps, so that what one has freed is there for all.

    By default glibc gives each thread its own, and what lies free in it counts as taken: some 100 MB with two callers, at no
    gain in speed. Does nothing with another C library.

    Args:
        cores: that this process may use.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MOST_HEAPS, max(1, cores // _CORES_A_HEAP))
