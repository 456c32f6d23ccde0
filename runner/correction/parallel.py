"""Work shared out to threads; what comes back does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def each_of(work: Callable[[A], T], arguments: Iterable[A], callers: int) -> list[T]:
    """Return ``work`` of every argument, in order."""
    with ThreadPoolExecutor(callers, thread_name_prefix="corrector") as pool:
        return list(pool.map(work, arguments))
