"""Run a model over items with several callers, results in the items' order.

onnxruntime sessions of one thread, called from several Python threads, beat one wide session on CPUs. Items go one by one: a
larger batch costs MobileNetV2 more (7.7 ms of CPU an item, 8.8 in eights, 11.5 in 32s) and, where it saves time, may change
bits (all of a vision transformer's outputs), so figures would depend on it. Sessions that do not
spin make too many callers cost next to nothing (8.1, 7.9, 7.7 and 8.9 ms with 1, 2, 4 and 8 callers on two busy cores; two
jobs at once took the same time with one caller each as with two), so parallel jobs share the cores as they are. Reading
and preprocessing happen inside the callers and are timed apart.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from runner.dataset.binding import bind
from runner.dataset.item import Dataset
from runner.session import Feeds, InputSpec

T = TypeVar("T")

# Of a container that limits CPU time, such as docker's --cpus.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Runnable(Protocol):
    """What takes an item's arrays and gives outputs; a Session, or several behind one face."""

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What ``run`` takes."""
        ...

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """Return the outputs (all, or the named ones) in order."""
        ...

    def stop(self) -> None:
        """Have runs under way in other threads end soon, with an error, and later ones at once."""
        ...


def available_cores(quota: Path = _QUOTA) -> int:
    """Return how many cores this process may use: those it may run on, or fewer where a container may not use them all.

    Args:
        quota: Linux's file of microseconds in a period of so many, as ``200000 100000`` for two cores; "max" is no limit.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = (int(number) for number in quota.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return cores
    return max(1, min(cores, math.ceil(allowed / period)))


class Engine:
    """Maps a model over a dataset's items.

    Args:
        callers: threads that call sessions; one for each core that the process may use by default.
    """

    def __init__(self, callers: int | None = None) -> None:
        self.callers = callers or available_cores()
        self._decode_seconds = 0.0
        self._lock = threading.Lock()

    @property
    def decode_seconds(self) -> float:
        """Wall seconds that reading and preprocessing took so far, spread over the callers."""
        return self._decode_seconds / self.callers

    def map(
        self,
        session: Runnable,
        dataset: Dataset,
        indices: Sequence[int],
        reduce: Callable[[int, list[NDArray[Any]]], T],
        *,
        outputs: Sequence[str] | None = None,
    ) -> Iterator[T]:
        """Yield ``reduce(index, outputs)`` for each index, in order; ``reduce`` runs in the callers.

        Stopping the iteration stops the work: at most two items a caller are under way.
        """

        def work(index: int) -> T:
            start = time.perf_counter()
            item = dataset.item(index)
            elapsed = time.perf_counter() - start
            with self._lock:
                self._decode_seconds += elapsed
            feeds = bind(item, session.inputs, name=dataset.name(index))
            return reduce(index, session.run(feeds, outputs))

        pool = ThreadPoolExecutor(self.callers, thread_name_prefix="caller")
        pending: deque[Future[T]] = deque()
        try:
            for index in indices:
                pending.append(pool.submit(work, index))
                if len(pending) >= 2 * self.callers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except KeyboardInterrupt:
            # Whoever interrupts does not want to wait for the items under way.
            session.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
