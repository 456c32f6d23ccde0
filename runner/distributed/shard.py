"""A shard: some of the items of an evaluation, as one worker takes them, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.session import Profile

# Seconds of work with most models: what a worker that dies costs, and how smoothly progress is told.
_MOST_ITEMS, _SHARDS_A_WORKER = 64, 4


@dataclass(frozen=True, slots=True)
class Shard:
    """Items to score.

    Attributes:
        turn: of the evaluation among those of the job; a turn that is called off is not finished.
        number: of the shard in the evaluation.
        content: a session and the work on its outputs, see ``portable``.
        profiles: of the models that it names, by digest.
        indices: of the items in their dataset.
        contents: a digest of each item's content, which has to be the same where it is scored.
        probe: index of an item whose outputs show a processor's bits; None where they were shown before.
    """

    turn: int
    number: int
    content: bytes = field(repr=False)
    profiles: tuple[tuple[str, Profile], ...]
    indices: tuple[int, ...]
    contents: tuple[str, ...] = field(repr=False)
    probe: int | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a shard.

    Attributes:
        results: of its items, in order, up to the first that failed.
        error: of that item; None where all went well.
        refused: why nothing may be scored there; None where it may.
        bits: a digest of what the session gave for the item that probes.
        decode_seconds: that reading and preprocessing took, spread over the callers.
    """

    results: Sequence[Any] = ()
    error: Exception | None = None
    refused: str | None = None
    bits: str | None = None
    decode_seconds: float = 0.0


def shard_size(items: int, workers: int) -> int:
    """Return how many items a shard has: a few shards a worker, so that none waits long for the last, and none is large."""
    return max(1, min(_MOST_ITEMS, math.ceil(items / (workers * _SHARDS_A_WORKER))))
