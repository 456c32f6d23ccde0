"""The shards of one evaluation: made when they are sent, and remembered when they come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.dataset.subset import Subset
from runner.distributed.portable import PortableWork, SentSession, pack
from runner.distributed.shard import Shard
from runner.engine import Runnable
from runner.evaluation.item_work import ItemsInputs
from runner.store.stage import cached
from runner.store.store import Store


class Shards:
    """Cuts items and the work on them.

    Args:
        turn: of the evaluation among those of a job.
        session: that items are bound to.
        items: to score.
        work: on each.
        size: items a shard.
        store: keeps the results of each shard; None keeps nothing.
    """

    def __init__(
        self,
        turn: int,
        session: Runnable,
        items: Subset,
        work: PortableWork[Any],
        *,
        size: int,
        store: Store | None,
    ) -> None:
        self.turn = turn
        self._session, self._items, self._work, self._size, self._store = session, items, work, size, store
        self._keys: dict[int, str | None] = {}
        self._made: dict[int, tuple[Shard, Sequence[SentSession]]] = {}

    def __len__(self) -> int:
        return -(-len(self._items) // self._size)

    def of(self, number: int) -> tuple[Shard, Sequence[SentSession]]:
        """Return a shard and the models that it names.

        Raises:
            NotPortableError: it cannot be sent.
        """
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def items_of(self, number: int) -> Subset:
        """Return the items of a shard."""
        return self._items.at(range(number * self._size, min((number + 1) * self._size, len(self._items))))

    def known(self, number: int) -> Sequence[Any] | None:
        """Return a shard's results where an earlier job left them."""
        self.of(number)
        key = self._keys[number]
        if self._store is None or key is None:
            return None
        entry = self._store.get(key)
        return None if entry is None else self._work.stage.codec.decode(entry)

    def done(self, number: int, results: Sequence[Any]) -> None:
        """Keep a shard's results, and let go of what was sent."""
        cached(self._store, self._keys[number], lambda: results, self._work.stage.codec)
        del self._made[number]

    def _make(self, number: int) -> tuple[Shard, Sequence[SentSession]]:
        part = self.items_of(number)
        start = number * self._size
        work = self._work.part(start, start + len(part))
        content, sessions, foreign = pack(self._session, work, self._items.dataset)
        self._keys[number] = None if foreign else work.stage.key(ItemsInputs(content, part.fingerprint))
        profiles = tuple((session.digest, session.profile) for session in sessions)
        shard = Shard(
            self.turn, number, content, profiles, tuple(part.indices), part.contents, probe=self._items.indices[0]
        )
        return shard, sessions
