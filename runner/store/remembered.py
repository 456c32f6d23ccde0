"""A stage's result, worked out or remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from runner.store.store import Entry, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """Turns a result into an entry and back, bit for bit."""

    encode: Callable[[T], Entry]
    decode: Callable[[Entry], T]


NUMBER: Codec[float] = Codec(Entry, lambda entry: float(entry.values))


def remembered(store: Store | None, key: str | None, compute: Callable[[], T], codec: Codec[T]) -> T:
    """Return what is kept under a key; else compute it and keep it.

    Args:
        store: None keeps nothing.
        key: of ``stage_key``; None for what must not be kept.
        compute: makes the result; what it raises is not kept.
        codec: how the result is kept.
    """
    for kept in _kept(store, key, codec):
        return kept
    result = compute()
    if store is not None and key is not None:
        store.put(key, codec.encode(result))
    return result


def recalled(store: Store | None, key: str | None, codec: Codec[T]) -> T | None:
    """Return what is kept under a key, or None; see ``remembered``."""
    return next(iter(_kept(store, key, codec)), None)


def _kept(store: Store | None, key: str | None, codec: Codec[T]) -> tuple[T, ...]:
    """Return the one result under a key, or none."""
    entry = None if store is None or key is None else store.get(key)
    if store is None or key is None or entry is None:
        return ()
    try:
        return (codec.decode(entry),)
    except (KeyError, ValueError, TypeError, IndexError):
        store.discard(key)
        return ()
