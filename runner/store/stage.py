"""A stage of a job as a value: its name, what its result depends on, and how the result is kept in a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from types import ModuleType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from runner.session import SIMULATION, Profile
from runner.store.key import stage_key
from runner.store.store import Entry, Store


class Declared(Protocol):
    """A dataclass: its fields are what is declared."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Inputs = TypeVar("Inputs", bound=Declared)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Codec(Generic[Result]):
    """Turns a result into an entry and back, bit for bit."""

    encode: Callable[[Result], Entry]
    decode: Callable[[Entry], Result]


NUMBER: Codec[float] = Codec(Entry, lambda entry: float(entry.values))


@dataclass(frozen=True, slots=True)
class Stage(Generic[Inputs, Result]):
    """Work whose result is kept under a key of all that it depends on, so that it is done once.

    Attributes:
        name: of what comes out, in the words of the documentation; unique.
        inputs: a frozen dataclass; every field takes part in the key, so it holds what the work looks at and nothing else.
        codec: how the result is kept.
        version: raise it when the same inputs would give another result.
        through: modules that other stages run through too, each with a VERSION of its own.
        profile: how the stage's sessions are made; None where it makes none, or others.
    """

    name: str
    inputs: type[Inputs]
    codec: Codec[Result]
    version: int = 1
    through: tuple[ModuleType, ...] = ()
    profile: Profile | None = SIMULATION

    def key(self, inputs: Inputs) -> str | None:
        """Return the key of the result; None where an input is of a user's own class, whose meaning is not known."""
        versions = [self.version, *(module.VERSION for module in self.through)]
        parts = [[field.name, getattr(inputs, field.name)] for field in fields(inputs)]
        return stage_key(self.name, versions, self.profile, parts)

    def cached(self, store: Store | None, inputs: Inputs, compute: Callable[[], Result]) -> Result:
        """Return what is kept for these inputs; else compute it and keep it.

        Args:
            store: None keeps nothing.
            inputs: all that ``compute`` looks at.
            compute: makes the result; what it raises is not kept.
        """
        return cached(store, None if store is None else self.key(inputs), compute, self.codec)

    def kept(self, store: Store | None, inputs: Inputs) -> Result | None:
        """Return what is kept for these inputs, or None."""
        return kept(store, None if store is None else self.key(inputs), self.codec)


def cached(store: Store | None, key: str | None, compute: Callable[[], Result], codec: Codec[Result]) -> Result:
    """Return what is kept under a key; else compute it and keep it.

    Args:
        store: None keeps nothing.
        key: of ``stage_key``; None for what must not be kept.
        compute: makes the result; what it raises is not kept.
        codec: how the result is kept.
    """
    for known in _known(store, key, codec):
        return known
    result = compute()
    if store is not None and key is not None:
        store.put(key, codec.encode(result))
    return result


def kept(store: Store | None, key: str | None, codec: Codec[Result]) -> Result | None:
    """Return what is kept under a key, or None; see ``cached``."""
    return next(iter(_known(store, key, codec)), None)


def _known(store: Store | None, key: str | None, codec: Codec[Result]) -> tuple[Result, ...]:
    """Return the one result under a key, or none."""
    entry = None if store is None or key is None else store.get(key)
    if store is None or key is None or entry is None:
        return ()
    try:
        return (codec.decode(entry),)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError):
        store.discard(key)
        return ()
