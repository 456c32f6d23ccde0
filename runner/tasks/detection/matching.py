"""Found boxes matched to true ones as COCO's evaluation does it, of many photos and overlaps at once.

In each photo, class and overlap the surest box takes the true box that it overlaps most, then the next takes from what is left.
A box that stands for a crowd can be taken any number of times, is taken only where no other can be, and counts for nothing:
neither does what took it. Of two overlaps that are equal the later true box wins, as there.

The boxes of one photo and class go one after the other; those of all others go beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from runner.tasks.detection.average_precision import MOST, OVERLAPS
from runner.tasks.detection.rows import ItemBoxes

# Beyond this area COCO's evaluation counts no box.
_LARGEST = 1e10
# Pairs of a found and a true box that are compared at a time.
_AT_A_TIME = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class Truths:
    """The true boxes of items, one item after the other, a row a box."""

    item: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The found boxes of items, at most MOST a class and item, by item, class and falling score."""

    item: NDArray[np.int64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of every box.

    Attributes:
        truths: the true boxes.
        found: the found ones.
        right: whether a found box took a true one that counts, shape (found, overlaps).
        ignored: whether it counts for nothing, of the same shape.
        takes: the true box that a found one took, -1 where it took none, of the same shape.
    """

    truths: Truths
    found: Found
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    takes: NDArray[np.int64]


def matched(items: Sequence[ItemBoxes], overlaps: NDArray[np.float64] = OVERLAPS) -> Matches:
    """Return the matches of items' boxes at some overlaps, ascending."""
    truths, found = _truths(items), _found(items)
    owner, true, overlap = _candidates(truths, found, min(float(overlaps[0]), 1 - 1e-10))
    # Of a box's candidates the first that is free is the one it takes.
    order = np.lexsort((-true, -overlap, truths.ignored[true], owner))
    owner, true, overlap = owner[order], true[order], overlap[order]
    right = np.zeros((len(found.item), len(overlaps)), np.bool_)
    ignored, taken = right.copy(), np.zeros((len(truths.item), len(overlaps)), np.bool_)
    takes = np.full(right.shape, -1)
    least = np.minimum(overlaps, 1 - 1e-10)
    for boxes, places in _turns(found, owner):
        known = places >= 0
        candidates = true[places]
        free = ~taken[candidates] | truths.crowd[candidates][:, :, np.newaxis]
        free &= (overlap[places][:, :, np.newaxis] >= least) & known[:, :, np.newaxis]
        some = free.any(axis=1)
        chosen = np.take_along_axis(candidates, free.argmax(axis=1), axis=1)
        taken[chosen[some], np.nonzero(some)[1]] = True
        takes[boxes] = np.where(some, chosen, -1)
        ignored[boxes] = some & truths.ignored[chosen]
        right[boxes] = some & ~truths.ignored[chosen]
    area = found.boxes[:, 2] * found.boxes[:, 3]
    ignored[area > _LARGEST] |= ~right[area > _LARGEST]
    return Matches(truths, found, right, ignored, takes)


def _truths(items: Sequence[ItemBoxes]) -> Truths:
    areas = np.concatenate([np.empty(0), *(item.areas for item in items)])
    crowd = np.concatenate([np.empty(0, np.bool_), *(item.crowd for item in items)])
    return Truths(
        _owners([len(item.classes) for item in items]),
        np.concatenate([np.empty(0, np.int64), *(item.classes for item in items)]),
        _sized(np.concatenate([np.empty((0, 4)), *(item.corners for item in items)])),
        crowd,
        crowd | (areas < 0) | (areas > _LARGEST),
    )


def _found(items: Sequence[ItemBoxes]) -> Found:
    owner = _owners([len(item.found.classes) for item in items])
    classes = np.concatenate([np.empty(0, np.int64), *(item.found.classes for item in items)])
    scores = np.concatenate([np.empty(0), *(item.found.scores for item in items)])
    boxes = np.concatenate([np.empty((0, 4)), *(item.found.corners for item in items)])
    order = np.lexsort((-scores, classes, owner))
    order = order[_rank(owner[order], classes[order]) < MOST]
    return Found(owner[order], classes[order], scores[order], _sized(boxes[order]))


def _candidates(
    truths: Truths, found: Found, least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return pairs of a found and a true box of one item and class that overlap enough, and by how much."""
    width = 1 + int(max(truths.classes.max(initial=0), found.classes.max(initial=0)))
    keys = truths.item * width + truths.classes
    by_key = np.argsort(keys, kind="stable")
    wanted = found.item * width + found.classes
    first, last = (np.searchsorted(keys[by_key], wanted, side) for side in ("left", "right"))
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for start, end in _blocks(last - first):
        counts = (last - first)[start:end]
        owner = np.repeat(np.arange(start, end), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        true = by_key[first[owner] + within]
        overlap = _overlap(found.boxes[owner], truths.boxes[true], truths.crowd[true])
        near = overlap >= least
        parts.append((owner[near], true[near], overlap[near]))
    empty = np.empty(0, np.int64)
    return (
        np.concatenate([empty, *(part[0] for part in parts)]),
        np.concatenate([empty, *(part[1] for part in parts)]),
        np.concatenate([np.empty(0), *(part[2] for part in parts)]),
    )


def _turns(found: Found, owner: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield found boxes that have candidates, at most one of an item and class, and the places of these, -1 where none is left.

    Args:
        found: the found boxes.
        owner: the found box of each candidate, ascending.
    """
    boxes, first, counts = np.unique(owner, return_index=True, return_counts=True)
    turn = _rank(found.item[boxes], found.classes[boxes])
    order = np.argsort(turn, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(turn[order])) + 1):
        if len(mine):
            steps = np.arange(counts[mine].max())
            yield boxes[mine], np.where(steps < counts[mine][:, np.newaxis], first[mine][:, np.newaxis] + steps, -1)


def _overlap(found: NDArray[np.float64], true: NDArray[np.float64], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return intersection over union of boxes x, y, width, height, or over what was found where a true box is a crowd."""
    (x, y, w, h), (tx, ty, tw, th) = found.T, true.T
    width = np.minimum(x + w, tx + tw) - np.maximum(x, tx)
    height = np.minimum(y + h, ty + th) - np.maximum(y, ty)
    both = np.where((width > 0) & (height > 0), width * height, 0.0)
    of = np.where(crowd, w * h, w * h + tw * th - both)
    return np.asarray(np.divide(both, of, out=np.zeros_like(both), where=both > 0), np.float64)


def _blocks(counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs whose counts sum to about ``_AT_A_TIME``."""
    cuts = np.flatnonzero(np.diff(np.cumsum(counts) // _AT_A_TIME)) + 1
    edges = [0, *cuts.tolist(), len(counts)]
    yield from pairwise(edges)


def _rank(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each row within the run of rows that are alike."""
    rows = np.arange(len(columns[0]))
    starts = np.zeros(len(rows), np.bool_)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return rows - np.maximum.accumulate(np.where(starts, rows, 0))


def _owners(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), np.asarray(counts, np.int64))


def _sized(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x, y, width, height."""
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
