"""An engine whose items are scored by workers, wherever they are; everything else runs here, as in any job."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.distributed.cluster import Cluster
from runner.distributed.dispatch import Crew, Dispatch
from runner.distributed.portable import NotPortableError, PortableWork, SentSession
from runner.distributed.shard import shard_size
from runner.distributed.shards import Shards
from runner.distributed.worker import bits_of
from runner.engine import BoundItem, Engine, Runnable, available_cores
from runner.session import SIMULATION, Loadable, Profile, Session
from runner.store.store import Store

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Of fewer items sending costs more than scoring.
_WORTH_SENDING = 4


class DistributedEngine(Engine):
    """Scores evaluation items on a cluster and gives the same results in the same order as any engine.

    Args:
        cluster: has the workers.
        dataset: the evaluation data, which workers have too; items of other data are run here.
        store: keeps each shard's results, so that a job that ends early goes on from them; None keeps nothing.
        callers: threads that run models here; None for as many as are fastest.
        share: gives the number of cores that are this engine's at the moment.
        warn: told of workers that died, machines that are left out, and work that cannot be sent.
        shard: items a shard; None for a few shards a worker.
    """

    def __init__(
        self,
        cluster: Cluster,
        dataset: Dataset,
        store: Store | None = None,
        callers: int | None = None,
        *,
        share: Callable[[], int] = available_cores,
        warn: Callable[[str], None] = logger.warning,
        shard: int | None = None,
    ) -> None:
        super().__init__(callers, share=share)
        self._dataset, self._store, self._warn, self._shard = dataset, store, warn, shard
        self._crew = Crew(cluster, warn)
        self._told: set[str] = set()
        # A digest takes as long as reading the file, and every evaluation looks at the same items.
        self._content = functools.cache(dataset.fingerprint)

    def session(self, model: Loadable, profile: Profile = SIMULATION, *, given: bool = False) -> Session:
        """Return a session of a model that workers can make too."""
        return SentSession(model, profile, given=given)

    def each(self, session: Runnable, items: Subset, work: Callable[[BoundItem], T]) -> Generator[T, None, None]:
        """Yield what ``work`` makes of each item, in order: by workers where it can be sent to them, else here.

        Raises:
            ConfigError: no worker is left, or items end every worker.
        """
        if len(items) >= _WORTH_SENDING and items.dataset is self._dataset and isinstance(work, PortableWork):
            shards = self._shards(session, items, work)
            if shards is not None:
                yield from self._spread(session, items, shards)
                return
        yield from super().each(session, items, work)

    def _shards(self, session: Runnable, items: Subset, work: PortableWork[Any]) -> Shards | None:
        """Return the shards of an evaluation; None where what scores the items cannot be sent."""
        self._crew.turn += 1
        size = self._shard or shard_size(len(items), len(self._crew.workers))
        if items.known_contents is None:
            items = items.with_contents(list(map(self._content, items.indices)))
        shards = Shards(self._crew.turn, session, items, work, size=size, store=self._store)
        try:
            shards.of(0)
        except NotPortableError as error:
            message = f"engine: items are scored on this machine alone: {error} cannot be sent to others."
            if message not in self._told:
                self._told.add(message)
                self._warn(message)
            return None
        return shards

    def _spread(self, session: Runnable, items: Subset, shards: Shards) -> Generator[Any, None, None]:
        bits = functools.cache(lambda: bits_of(session, self._dataset, items.indices[0]))
        with contextlib.closing(Dispatch(self._crew, shards, bits).results()) as each:
            for ran in each:
                self.decode_seconds += ran.decode_seconds / max(1, len(self._crew.workers))
                yield from ran.results
                if ran.error is not None:
                    raise ran.error
