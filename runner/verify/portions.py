"""Layers a portion at a time, so that what they give for an item fits into memory however large it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Of what one model gives for an item.
MOST_BYTES = 1 << 26
# Nothing is known of how large the first ones are.
_FIRST = 16
# The first layers of most networks give the most. Those of a decoder give more and more.
_GROWTH = 8


class Portions(Generic[T]):
    """Layers in order, as many at a time as fit, judged by those before.

    Args:
        layers: all of them.
        most_bytes: of a portion.
    """

    def __init__(self, layers: Sequence[T], most_bytes: int = MOST_BYTES) -> None:
        self._layers, self._most_bytes = layers, most_bytes
        self._took = 0

    def took(self, arrays: Sequence[Any]) -> None:
        """Tell what the portion at hand gave for an item; what is no array takes nothing."""
        self._took = max(self._took, sum(getattr(array, "nbytes", 0) for array in arrays))

    def __iter__(self) -> Iterator[Sequence[T]]:
        start, count = 0, _FIRST
        while start < len(self._layers):
            self._took = 0
            yield self._layers[start : start + count]
            start += count
            count = max(1, min(_GROWTH * count, count * self._most_bytes // max(self._took, 1)))
