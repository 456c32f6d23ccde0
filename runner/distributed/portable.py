"""Work on items as bytes that another process can do.

What is sent is the work itself: metrics, how answers are read, the outputs that it needs. Not sent are the dataset, which every
worker builds from the configuration, and models, which go to each machine once; the bytes name them.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import onnx_ir as ir

from runner.dataset.item import Dataset
from runner.engine import BoundItem, Runnable
from runner.evaluation.item_work import ItemsInputs
from runner.graph.model_file import fits_one_file, model_bytes
from runner.session import SIMULATION, Loadable, Profile, Session
from runner.store.stage import Stage

Result = TypeVar("Result")
_DATASET, _SESSION = "dataset", "session"
# Packages whose classes mean the same in every job of one version; of any other class only its name would be in the bytes.
_KNOWN = frozenset(
    {"runner", "builtins", "numpy", "ml_dtypes", "collections", "functools", "pathlib", "decimal", "copyreg"}
)


@runtime_checkable
class PortableWork(Protocol[Result]):
    """What is done with each item, as a value: it can be pickled, cut to some of the items, and its results kept."""

    stage: ClassVar[Stage[ItemsInputs, Any]]

    def __call__(self, item: BoundItem) -> Result:
        """Return what the item gives."""
        ...

    def part(self, start: int, stop: int) -> PortableWork[Result]:
        """Return the work of the places from ``start`` up to ``stop``, which are counted from 0 there."""
        ...


class SentSession(Session):
    """A session that remembers its model, so that others can make the same one."""

    def __init__(self, model: Loadable, profile: Profile = SIMULATION, *, given: bool = False) -> None:
        super().__init__(model, profile, given=given)
        self._model, self.profile = model, profile

    @cached_property
    def content(self) -> bytes | None:
        """The model's file; None where it does not fit one."""
        if isinstance(self._model, ir.Model):
            return model_bytes(self._model) if fits_one_file(self._model) else None
        if isinstance(self._model, bytes):
            return self._model
        path = Path(self._model)
        return None if path.with_name(f"{path.name}.data").exists() else path.read_bytes()

    @cached_property
    def digest(self) -> str:
        """A digest of the model and the profile."""
        return hashlib.sha256(repr(self.profile).encode() + (self.content or b"")).hexdigest()


class NotPortableError(Exception):
    """The work holds something that cannot be sent; the message says what."""


class _Packer(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, dataset: Dataset) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self._dataset = dataset
        self.sessions: dict[str, SentSession] = {}
        self.foreign = False

    def persistent_id(self, value: Any) -> tuple[str, ...] | None:  # noqa: ANN401
        if value is self._dataset:
            return (_DATASET,)
        if not isinstance(value, Session):
            return None
        if not isinstance(value, SentSession) or value.content is None:
            raise NotPortableError("a model that does not fit one file of 2 GB")
        self.sessions[value.digest] = value
        return (_SESSION, value.digest)

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401
        kind = value if isinstance(value, type) else type(value)
        if kind.__module__.partition(".")[0] not in _KNOWN:
            self.foreign = True
        return NotImplemented


def pack(session: Runnable, work: PortableWork[Any], dataset: Dataset) -> tuple[bytes, Sequence[SentSession], bool]:
    """Return a session and the work on its outputs as bytes, the sessions named there, and whether a user's class is in them.

    Raises:
        NotPortableError: they cannot be sent.
    """
    stream = io.BytesIO()
    packer = _Packer(stream, dataset)
    try:
        packer.dump((session, work))
    except NotPortableError:
        raise
    except Exception as error:  # a user's object raises what it likes
        raise NotPortableError(f"{type(error).__name__}: {error}") from error
    return stream.getvalue(), tuple(packer.sessions.values()), packer.foreign


def unpack(content: bytes, dataset: Dataset, session: Callable[[str], Session]) -> tuple[Runnable, PortableWork[Any]]:
    """Return what was packed.

    Args:
        content: of ``pack``, from this job's own driver.
        dataset: takes the place of the one that was not sent.
        session: gives the session of a digest.
    """

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, named: tuple[str, ...]) -> Any:  # noqa: ANN401
            return dataset if named[0] == _DATASET else session(named[1])

    made: tuple[Runnable, PortableWork[Any]] = Unpacker(io.BytesIO(content)).load()
    return made
