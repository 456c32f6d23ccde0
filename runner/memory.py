"""How much memory there is for a job, and a bound on what it takes, so that a model that asks for more ends with a sentence."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/memory.max")
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
