"""A cluster of threads: what goes to a worker and comes back is pickled, so nothing is shared but by what is sent."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from runner.dataset.item import Dataset
from runner.distributed.cluster import RemoteWorker, WorkerDiedError
from runner.distributed.portable import SentSession
from runner.distributed.shard import Ran, Shard
from runner.distributed.worker import Worker

# What becomes of a shard on its way: given the worker's node and the shard; raises WorkerDiedError, or changes what came of it.
Fate = Callable[[str, Shard, Ran], Ran]


@dataclass(eq=False)
class ThreadWorker:
    """A worker whose process is a thread."""

    node: str
    worker: Worker
    fate: Fate
    did: list[tuple[str, int]]
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    dead: bool = False

    def run(self, shard: Shard, models: Sequence[SentSession]) -> Future[Ran]:
        sent = pickle.dumps((shard, [model.content for model in models]))
        return self.pool.submit(self._run, sent)

    def _run(self, sent: bytes) -> Ran:
        shard, models = pickle.loads(sent)
        if self.dead:
            raise WorkerDiedError("its process was killed")
        ran = self.worker.run(shard, *models)
        self.did.append((self.node, shard.number))
        try:
            return pickle.loads(pickle.dumps(self.fate(self.node, shard, ran)))
        except WorkerDiedError:
            self.dead = True
            raise

    def call_off(self, turn: int) -> None:
        self.worker.call_off(turn)


class Threads:
    """A cluster; ``did`` lists what was scored, by node and number of the shard."""

    def __init__(
        self,
        make_dataset: Callable[[], Dataset],
        nodes: Sequence[str],
        fate: Fate = lambda node, shard, ran: ran,
        *,
        replaced: bool = True,
    ) -> None:
        self.did: list[tuple[str, int]] = []
        self._make_dataset, self._fate, self._replaced = make_dataset, fate, replaced
        self.workers: Sequence[RemoteWorker] = [self._worker(node) for node in nodes]

    def _worker(self, node: str) -> ThreadWorker:
        return ThreadWorker(node, Worker(self._make_dataset, 2), self._fate, self.did)

    def replace(self, worker: RemoteWorker) -> RemoteWorker | None:
        return self._worker(worker.node) if self._replaced else None


def other_bits(node: str) -> Fate:
    """Return the fate in which a node's processor gives other bits."""
    return lambda where, shard, ran: replace(ran, bits="other") if where == node and ran.bits is not None else ran


def dies(number: int, times: int = 1) -> Fate:
    """Return the fate in which whoever scores a shard dies, so many times."""
    left = [times]

    def fate(node: str, shard: Shard, ran: Ran) -> Ran:
        if shard.number == number and left[0]:
            left[0] -= 1
            raise WorkerDiedError("its process was killed")
        return ran

    return fate
