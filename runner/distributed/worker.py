"""What runs in a worker's process: a dataset built once, models as they are needed, shards one after the other."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import platform
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.binding import bind
from runner.dataset.fitting import fit
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.distributed.portable import unpack
from runner.distributed.shard import Ran, Shard
from runner.engine import Engine, Runnable
from runner.errors import RunnerError
from runner.session import Session
from runner.store.key import arithmetic, cpu_name

# Of models that were run last; a search comes back to the float model and to none of the others.
_MOST_SESSIONS = 4


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a worker is, in words for a message.

    Attributes:
        host: its name.
        processor: the processor's.
        arithmetic: what decides the bits of sums, see ``store.key``.
    """

    host: str
    processor: str
    arithmetic: tuple[str, ...]


def this_machine() -> Machine:
    """Return where this process runs."""
    return Machine(platform.node(), cpu_name(), arithmetic())


class Worker:
    """Scores shards.

    Args:
        make_dataset: builds the evaluation data, from the configuration.
        callers: threads that run models.
    """

    def __init__(self, make_dataset: Callable[[], Dataset], callers: int) -> None:
        self._make_dataset = make_dataset
        self._engine = Engine(callers)
        self._dataset: Dataset | None = None
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._same: set[int] = set()
        self._called_off = -1
        self._one_at_a_time = threading.Lock()

    def machine(self) -> Machine:
        """Return where this worker is."""
        return this_machine()

    def call_off(self, turn: int) -> None:
        """Do no more of the shards up to a turn."""
        self._called_off = max(self._called_off, turn)

    def run(self, shard: Shard, *models: bytes) -> Ran:
        """Return what comes of a shard; a fault that is the user's is a value, so that it is told as at home.

        Args:
            shard: to score.
            models: the files of the models that it names, in the order of ``shard.profiles``.
        """
        with self._one_at_a_time:
            if shard.turn <= self._called_off:
                return Ran()
            try:
                return self._run(shard, models)
            except RunnerError as error:
                return Ran(refused=str(error))

    def _run(self, shard: Shard, models: Sequence[bytes]) -> Ran:
        named = dict(zip((digest for digest, _ in shard.profiles), models, strict=True))
        profiles = dict(shard.profiles)

        def session(digest: str) -> Session:
            if digest not in self._sessions:
                self._sessions[digest] = self._engine.session(named[digest], profiles[digest])
            self._sessions.move_to_end(digest)
            while len(self._sessions) > max(_MOST_SESSIONS, len(named)):
                self._sessions.popitem(last=False)
            return self._sessions[digest]

        dataset = self._dataset or self._make_dataset()
        runs, work = unpack(shard.content, dataset, session)
        if self._dataset is None:
            fit(runs.inputs, dataset)
            self._dataset = dataset
        items = Subset(dataset, shard.indices)
        other = self._other_content(items, shard.contents)
        if other is not None:
            return Ran(refused=f"the item {other} has other content there, or is preprocessed otherwise")
        decoded, results = self._engine.decode_seconds, list[Any]()
        each = self._engine.each(runs, items, work)
        try:
            for result in each:
                results.append(result)
                if shard.turn <= self._called_off:
                    return Ran()
            error = None
        except Exception as raised:  # told where the results are wanted, and in their order
            error = _portable(raised)
        finally:
            each.close()
        bits = None if shard.probe is None else bits_of(runs, dataset, shard.probe)
        return Ran(results, error, None, bits, self._engine.decode_seconds - decoded)

    def _other_content(self, items: Subset, contents: Sequence[str]) -> str | None:
        """Return the name of the first item that is not the one that was meant."""
        for index, content in zip(items.indices, contents, strict=True):
            if index in self._same:
                continue
            if items.dataset.fingerprint(index) != content:
                return items.dataset.name(index)
            self._same.add(index)
        return None


def bits_of(session: Runnable, dataset: Dataset, index: int) -> str:
    """Return a digest of every bit that a session gives for an item."""
    feeds = bind(dataset.item(index), session.inputs, name=dataset.name(index))
    told = hashlib.sha256()
    for array in session.run(feeds):
        told.update(f"{_type(array)}".encode())
        told.update(
            array.tobytes() if isinstance(array, np.ndarray) and array.dtype != object else repr(array).encode()
        )
    return told.hexdigest()


def _type(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__


def _portable(error: Exception) -> Exception:
    """Return an error that another process can read; one that is no message to the user tells where it was raised."""
    back: Exception = RuntimeError(f"{type(error).__name__}: {error}")
    with contextlib.suppress(Exception):
        read = pickle.loads(pickle.dumps(error))
        back = read if isinstance(read, Exception) else back
    if not isinstance(error, RunnerError):
        back.add_note(f"There it was raised so:\n{''.join(traceback.format_exception(error))}")
    return back
