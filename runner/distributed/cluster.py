"""What the engine asks of a cluster: workers by name, each with a machine, that answer through futures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from runner.distributed.portable import SentSession
from runner.distributed.shard import Ran, Shard


class WorkerDiedError(Exception):
    """A worker's process or machine is gone; what it was doing is lost."""


class RemoteWorker(Protocol):
    """A worker somewhere; its futures raise WorkerDiedError where it is gone."""

    @property
    def node(self) -> str:
        """Return the name of its machine, as a user knows it."""
        ...

    def run(self, shard: Shard, models: Sequence[SentSession]) -> Future[Ran]:
        """Return what will come of a shard."""
        ...

    def call_off(self, turn: int) -> None:
        """Have it do no more of the shards up to a turn."""
        ...


class Cluster(Protocol):
    """Machines with workers."""

    @property
    def workers(self) -> Sequence[RemoteWorker]:
        """Return the workers that are ready."""
        ...

    def replace(self, worker: RemoteWorker) -> RemoteWorker | None:
        """Return a new worker in the place of one that died, if its machine is there and takes one."""
        ...
