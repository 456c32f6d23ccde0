"""Work shared out to threads; what comes back does not depend on how many there are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

# Beside the calling one; they are started as they are needed.
_MOST_THREADS = 256
# Seconds of work that take longer when shared: threads wake each other, and wait for Python's lock.
_WORTH_THREADS = 4e-3


def each_of(work: Callable[[A], T], arguments: Iterable[A], callers: int) -> list[T]:
    """Return ``work`` of every argument, in order; an error of one ends the work at the next.

    The first is done alone, and tells whether the others are worth waking threads for.
    """
    tasks = list(arguments)
    if callers < 2 or len(tasks) < 2:
        return [work(argument) for argument in tasks]
    start = time.perf_counter()
    results = {0: work(tasks[0])}
    others = len(tasks) - 1
    if (time.perf_counter() - start) * others < _WORTH_THREADS:
        return [results[0], *map(work, tasks[1:])]
    threads = min(callers, others)
    left = iter(enumerate(tasks[1:], 1))

    def run() -> None:
        # A thread takes what comes next: handing each task to a pool costs more than many of them take.
        try:
            for place, argument in left:
                results[place] = work(argument)
        finally:
            for _ in left:
                pass

    # The calling thread works too, and the others stay: to start a thread takes longer than many a task.
    running = [_others().submit(run) for _ in range(threads - 1)]
    try:
        run()
    finally:
        for _ in left:
            pass
        # One that has not begun finds nothing left to do. It may never begin: this may be one of the pool's own threads.
        begun = [future for future in running if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()
    return [results[place] for place in range(len(tasks))]


def both(one: Callable[[], A], other: Callable[[], T], callers: int) -> tuple[A, T]:
    """Return what two pieces of work give, done side by side where there is more than one caller."""
    if callers < 2:
        return one(), other()
    running = _others().submit(other)
    try:
        first = one()
    finally:
        begun = not running.cancel()
        wait([running])
    return first, running.result() if begun else other()


@cache
def _others() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="corrector")


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a forked process.
    os.register_at_fork(after_in_child=_others.cache_clear)
