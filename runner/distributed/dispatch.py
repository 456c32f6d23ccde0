"""Shards to workers and results back in order; a worker that dies costs its shard, a machine with other bits is left out."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from runner.distributed.cluster import Cluster, RemoteWorker, WorkerDiedError
from runner.distributed.shard import Ran, Shard
from runner.distributed.shards import Shards
from runner.errors import ConfigError

logger = logging.getLogger(__name__)

# A worker has its next shard at hand when it is done with one.
_AHEAD = 2
# A shard that ends its worker as often as this is not tried again.
_MOST_DEATHS = 3
_OTHER_BITS = (
    "the model gives other bits there than here: another processor, or other versions of libraries. Figures would depend on "
    "which machine scored an item"
)


class Crew:
    """The workers that may be used, as far as they are there and give the right bits.

    Args:
        cluster: has them.
        warn: told of workers that died and machines that are left out.
    """

    def __init__(self, cluster: Cluster, warn: Callable[[str], None]) -> None:
        self._cluster, self._warn = cluster, warn
        self.workers = list(cluster.workers)
        self.turn = 0
        self._shown: set[tuple[str, frozenset[str]]] = set()
        self._left_out: dict[str, str] = {}

    def shows_bits(self, worker: RemoteWorker, models: frozenset[str]) -> bool:
        """Return whether a worker's machine has shown which bits it gives for models."""
        return (worker.node, models) in self._shown

    def accept(self, worker: RemoteWorker, models: frozenset[str]) -> None:
        """Remember that a worker's machine gives the right bits for models."""
        self._shown.add((worker.node, models))

    def leave_out(self, node: str, reason: str) -> None:
        """Use no worker of a machine any more."""
        if node not in self._left_out:
            self._left_out[node] = reason
            self._warn(f"engine: {node} is left out: {reason.rstrip('.')}.")
        self.workers = [worker for worker in self.workers if worker.node != node]

    def bury(self, worker: RemoteWorker, reason: str) -> None:
        """Have a new worker in the place of one that died, if there can be one."""
        self._warn(f"engine: a worker on {worker.node} died ({reason}); the items it was at are scored again.")
        new = self._cluster.replace(worker)
        self.workers = [other for other in self.workers if other is not worker] + ([] if new is None else [new])

    def require_some(self) -> None:
        """Refuse to go on without workers.

        Raises:
            ConfigError: none is left; says why each machine was left out.
        """
        if not self.workers:
            why = "; ".join(f"{node}: {reason.rstrip('.')}" for node, reason in self._left_out.items())
            raise ConfigError(
                f"engine: no worker is left{f' ({why})' if why else ''}. Mend the machines, or use engine=local; what was "
                "scored is kept, and the same command goes on from it."
            )


@dataclass(slots=True)
class Dispatch:
    """One evaluation's shards under way.

    Attributes:
        crew: does them.
        shards: in order.
        bits: gives the digest of what this machine's session gives for the item that probes.
    """

    crew: Crew
    shards: Shards
    bits: Callable[[], str]
    _waiting: deque[int] = field(default_factory=deque)
    _flying: dict[Future[Ran], tuple[RemoteWorker, int]] = field(default_factory=dict)
    _done: dict[int, Ran] = field(default_factory=dict)
    _deaths: Counter[int] = field(default_factory=Counter)

    def results(self) -> Generator[Ran, None, None]:
        """Yield what came of each shard, in order; stop iterating to have the others called off.

        Raises:
            ConfigError: no worker is left, or a shard ends every worker.
        """
        self._waiting.extend(range(len(self.shards)))
        try:
            for number in range(len(self.shards)):
                while number not in self._done:
                    self._hand_out(number)
                    if self._flying:
                        self._take_in()
                yield self._done.pop(number)
        finally:
            for worker in {id(worker): worker for worker, _ in self._flying.values()}.values():
                worker.call_off(self.shards.turn)

    def _hand_out(self, wanted: int) -> None:
        """Give every worker that has room its next shard, none too far ahead of the one that is wanted."""
        self.crew.require_some()
        load = Counter(id(worker) for worker, _ in self._flying.values())
        furthest = wanted + 2 * _AHEAD * len(self.crew.workers)
        for depth in range(1, _AHEAD + 1):
            for worker in self.crew.workers:
                if load[id(worker)] < depth:
                    number = self._next(furthest)
                    if number is None:
                        return
                    self._send(worker, number)
                    load[id(worker)] += 1

    def _next(self, furthest: int) -> int | None:
        """Return the next shard that has to be scored; what is remembered is done."""
        while self._waiting and self._waiting[0] <= furthest:
            number = self._waiting.popleft()
            known = self.shards.known(number)
            if known is None:
                return number
            self._done[number] = Ran(known)
        return None

    def _send(self, worker: RemoteWorker, number: int) -> None:
        shard, models = self.shards.of(number)
        if self.crew.shows_bits(worker, _named(shard)):
            shard = replace(shard, probe=None)
        self._flying[worker.run(shard, models)] = (worker, number)

    def _take_in(self) -> None:
        finished, _ = wait(self._flying, return_when=FIRST_COMPLETED)
        # Of what a dead worker had at hand it was at the first.
        for future in sorted(finished, key=lambda future: self._flying[future][1]):
            worker, number = self._flying.pop(future)
            try:
                ran = future.result()
            except WorkerDiedError as error:
                self._died(worker, number, error)
                continue
            if worker not in self.crew.workers:
                self._again(number)  # its machine was left out meanwhile
                continue
            reason = self._why_not(worker, number, ran)
            if reason is not None:
                self.crew.leave_out(worker.node, reason)
                self._again(number)
                continue
            if ran.error is None:
                self.shards.done(number, ran.results)
            self._done[number] = ran

    def _why_not(self, worker: RemoteWorker, number: int, ran: Ran) -> str | None:
        """Return why a worker's results must not be used, or None."""
        if ran.refused is not None:
            return ran.refused
        if ran.bits is not None:
            if ran.bits != self.bits():
                return _OTHER_BITS
            self.crew.accept(worker, _named(self.shards.of(number)[0]))
        return None

    def _died(self, worker: RemoteWorker, number: int, error: WorkerDiedError) -> None:
        if worker in self.crew.workers:
            self.crew.bury(worker, str(error))
            self._deaths[number] += 1
        if self._deaths[number] >= _MOST_DEATHS:
            items = self.shards.items_of(number)
            first, last = (items.dataset.name(items.indices[at]) for at in (0, -1))
            raise ConfigError(
                f"engine: {_MOST_DEATHS} workers died while they scored the items {first} to {last} ({error}). "
                "If memory was too small, give each worker fewer callers: engine.callers=1."
            )
        self._again(number)

    def _again(self, number: int) -> None:
        """Put a shard back, in order."""
        self._waiting = deque(sorted([*self._waiting, number]))


def _named(shard: Shard) -> frozenset[str]:
    return frozenset(digest for digest, _ in shard.profiles)
