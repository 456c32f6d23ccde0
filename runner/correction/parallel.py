"""Work shared out to threads; what comes back does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def each_of(work: Callable[[A], T], arguments: Iterable[A], callers: int) -> list[T]:
    """Return ``work`` of every argument, in order; an error of one ends the work at the next."""
    tasks = list(arguments)
    threads = min(callers, len(tasks))
    if threads < 2:
        return [work(argument) for argument in tasks]
    results: dict[int, T] = {}
    left = iter(enumerate(tasks))

    def run() -> None:
        # A thread takes what comes next: handing each task to a pool costs more than many of them take.
        try:
            for place, argument in left:
                results[place] = work(argument)
        finally:
            for _ in left:
                pass

    # The calling thread works too: to start a thread takes longer than many a task.
    with ThreadPoolExecutor(threads - 1, thread_name_prefix="corrector") as pool:
        running = [pool.submit(run) for _ in range(threads - 1)]
        try:
            run()
            for future in running:
                future.result()
        finally:
            for _ in left:
                pass
    return [results[place] for place in range(len(tasks))]
