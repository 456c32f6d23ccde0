"""Layers a portion at a time, so that what they give for an item fits into memory however large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

# Of what one model gives for an item.
MOST_BYTES = 1 << 26


def portions(sizes: Mapping[str, int], most_bytes: int = MOST_BYTES) -> Iterator[Sequence[str]]:
    """Yield layers in order, as many at a time as fit, and at least one.

    Args:
        sizes: layer -> bytes that it gives for an item.
        most_bytes: of a portion.
    """
    portion, total = list[str](), 0
    for layer, size in sizes.items():
        if portion and total + size > most_bytes:
            yield portion
            portion, total = [], 0
        portion.append(layer)
        total += size
    if portion:
        yield portion
