"""Run a model over items with several callers, results in the items' order.

onnxruntime sessions of one thread, called from several Python threads, beat one wide session on CPUs. Items go one by one: a
larger batch costs MobileNetV2 more (7.7 ms of CPU an item, 8.8 in eights, 11.5 in 32s) and, where it saves time, may change
bits (all of a vision transformer's outputs), so figures would depend on it. Sessions that do not spin make too many callers
cost next to nothing (8.1, 7.9, 7.7 and 8.9 ms with 1, 2, 4 and 8 callers on two busy cores; the zoo's other models, down to
0.05 ms an item, no more either), so up to two cores each has its caller; beyond, ``fastest_callers`` measures, and jobs side by
side share the cores out. Results do not depend on it. Reading and preprocessing happen inside the callers and are timed apart.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from runner.dataset.binding import bind, first_rows, repeats
from runner.dataset.subset import Subset
from runner.session import SIMULATION, Feeds, InputSpec, Loadable, Profile, Session

T = TypeVar("T")

# Of a container that limits CPU time, such as docker's --cpus.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LEAST_ROUNDS, _CLEARLY = 2, 0.9


@dataclass(frozen=True, slots=True, eq=False)
class BoundItem:
    """An item as a session takes it.

    Attributes:
        place: of the item among those that are gone through.
        index: of the item in its dataset.
        feeds: by input.
        repeats: how often it is repeated to fill a batch that the model fixes.
    """

    place: int
    index: int
    feeds: Feeds
    repeats: int


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
    """Makes sessions of models, and maps them over a dataset's items.

    Args:
        callers: threads that call sessions; None for as many as are fastest within ``share``.
        share: gives the number of cores that are this engine's at the moment.

    Attributes:
        fastest: how many callers are known to be fastest on all of the machine's cores; None for one a core.
        decode_seconds: wall seconds that reading and preprocessing took so far, spread over the callers.
    """

    def __init__(self, callers: int | None = None, *, share: Callable[[], int] = available_cores) -> None:
        self.configured, self._share = callers, share
        self.fastest: int | None = None
        self.decode_seconds = 0.0
        self._lock = threading.Lock()

    @property
    def callers(self) -> int:
        """How many threads work that begins now may use."""
        if self.configured is not None:
            return self.configured
        share = max(1, self._share())
        return share if self.fastest is None else min(self.fastest, share)

    def session(self, model: Loadable, profile: Profile = SIMULATION, *, given: bool = False) -> Session:
        """Return a session of a model; whatever runs a model on data has it made here, so that one place says how.

        Args:
            model: to run.
            profile: how onnxruntime may rewrite it.
            given: whether it is the user's as it was read, see ``Session``.
        """
        return Session(model, profile, given=given)

    def map(
        self,
        session: Runnable,
        items: Subset,
        reduce: Callable[[int, list[NDArray[Any]]], T],
        *,
        outputs: Sequence[str] | None = None,
        first_row: bool = False,
    ) -> Iterator[T]:
        """Yield ``reduce(index, outputs)`` for each item by its index, in order; ``reduce`` runs in the callers.

        With ``first_row`` outputs of an item that is repeated to fill a fixed batch are those of its first row.

        Stopping the iteration stops the work: at most two items a caller are under way.
        """

        def work(item: BoundItem) -> T:
            arrays = session.run(item.feeds, outputs)
            return reduce(item.index, first_rows(arrays, item.repeats) if first_row else arrays)

        yield from self.each(session, items, work)

    def each(self, session: Runnable, items: Subset, work: Callable[[BoundItem], T]) -> Generator[T, None, None]:
        """Yield what ``work`` makes of each item, in order; it runs in the callers, and runs what it likes.

        Args:
            session: whose inputs items are bound to; told to stop where the user interrupts.
            items: to read.
            work: from an item as the session takes it to what is yielded.
        """
        callers = self.callers

        def done(place: int, index: int) -> T:
            start = time.perf_counter()
            item = items.dataset.item(index)
            elapsed = time.perf_counter() - start
            with self._lock:
                self.decode_seconds += elapsed / callers
            feeds = bind(item, session.inputs, name=items.dataset.name(index))
            return work(BoundItem(place, index, feeds, repeats(item, session.inputs)))

        pool = ThreadPoolExecutor(callers, thread_name_prefix="caller")
        pending: deque[Future[T]] = deque()
        try:
            for place, index in enumerate(items.indices):
                pending.append(pool.submit(done, place, index))
                if len(pending) >= 2 * callers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except KeyboardInterrupt:
            # Whoever interrupts does not want to wait for the items under way.
            session.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def round_seconds(session: Runnable, feeds: Sequence[Feeds], callers: int, runs: int) -> float:
    """Return how long so many callers take for so many runs of a session, on the feeds in turn."""
    work = list(itertools.islice(itertools.cycle(feeds), runs))
    with ThreadPoolExecutor(callers) as pool:
        start = time.perf_counter()
        list(pool.map(session.run, work))
        return time.perf_counter() - start


def fastest_callers(took: Callable[[int], float], cores: int, *, seconds: float = 0.3) -> int:
    """Return how many callers are fastest: one a core, or half as many where that is quicker.

    It is where cores share an execution unit, a cache or the way to memory. Other work on the machine only ever slows a round
    down, so the quickest round of each counts, and half as many have to win by a tenth.

    Args:
        took: runs a round with so many callers and returns its seconds.
        cores: that may be used.
        seconds: to spend, and at least two rounds of each.
    """
    candidates = (cores, max(1, cores // 2))
    quickest = dict.fromkeys(candidates, math.inf)
    spent, rounds = 0.0, 0
    while rounds < _LEAST_ROUNDS or spent < seconds:
        for callers in candidates:
            elapsed = took(callers)
            quickest[callers] = min(quickest[callers], elapsed)
            spent += elapsed
        rounds += 1
    every, half = (quickest[callers] for callers in candidates)
    return candidates[1] if half < _CLEARLY * every else cores
