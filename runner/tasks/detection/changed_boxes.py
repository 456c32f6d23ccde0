"""Which boxes of a photo a change was about: true ones lost or won, false ones that came or went, as ``cost`` has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runner.tasks.detection.changes import OVERLAP, SURE, Seen
from runner.tasks.detection.rows import ItemBoxes

What = Literal["lost", "won", "false", "no longer false"]


@dataclass(frozen=True, slots=True, eq=False)
class FoundBox:
    """A box that a model found: its corners in the photo's pixels, and its score."""

    corners: NDArray[np.float64]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class ChangedBox:
    """What became of one box.

    Attributes:
        what: it is a true one lost or won, or a false one that came or went.
        category: its class.
        true: corners of the true one; None of a false one.
        before: what the float model found there, sure or not; None where nothing.
        after: what the quantized model found there.
    """

    what: What
    category: int
    true: NDArray[np.float64] | None
    before: FoundBox | None
    after: FoundBox | None

    @property
    def harm(self) -> float:
        """What it costs."""
        found = self.before if self.what in ("lost", "no longer false") else self.after
        score = 0.0 if found is None else found.score
        return score if self.what in ("lost", "false") else -score


def changed_boxes(before: NDArray[np.float64], after: NDArray[np.float64]) -> list[ChangedBox]:
    """Return what changed from one row of a photo to another, the worst first."""
    was, now = Seen.of(before), Seen.of(after)
    old, new = ItemBoxes.from_row(before), ItemBoxes.from_row(after)
    return sorted([*_true(was, now, old, new), *_false(was, now, old, new)], key=lambda box: -box.harm)


def unchanged(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the true boxes of which nothing changed, shape (n, 4)."""
    was, now = Seen.of(before), Seen.of(after)
    item = ItemBoxes.from_row(before)
    same = (was.sureness > 0) == (now.sureness > 0)
    return np.asarray(item.corners[~item.crowd][same], np.float64)


def _true(was: Seen, now: Seen, old: ItemBoxes, new: ItemBoxes) -> Iterator[ChangedBox]:
    counted = np.flatnonzero(~old.crowd)
    for place in np.flatnonzero((was.sureness > 0) != (now.sureness > 0)):
        corners, category = old.corners[counted[place]], int(old.classes[counted[place]])
        before, after = (
            FoundBox(seen.by[place], float(seen.sureness[place]))
            if seen.sureness[place] > 0
            else _unsure(item, corners, category)
            for seen, item in ((was, old), (now, new))
        )
        yield ChangedBox("lost" if was.sureness[place] > 0 else "won", category, corners, before, after)


def _false(was: Seen, now: Seen, old: ItemBoxes, new: ItemBoxes) -> Iterator[ChangedBox]:
    gone = list(range(len(was.false)))
    for place, (corners, category) in enumerate(zip(now.false_corners, now.false_classes, strict=True)):
        same = [each for each in gone if was.false_classes[each] == category]
        overlaps = overlap(corners, was.false_corners[same])
        if len(same) and overlaps.max() >= OVERLAP:
            gone.remove(same[int(overlaps.argmax())])
            continue
        found = FoundBox(corners, float(now.false[place]))
        yield ChangedBox("false", int(category), None, _unsure(old, corners, int(category)), found)
    for place in gone:
        corners, category = was.false_corners[place], int(was.false_classes[place])
        found = FoundBox(corners, float(was.false[place]))
        yield ChangedBox("no longer false", category, None, found, _unsure(new, corners, category))


def _unsure(item: ItemBoxes, corners: NDArray[np.float64], category: int) -> FoundBox | None:
    """Return the surest box of a class at a place among those that do not count as found."""
    found = item.found
    near = (found.classes == category) & (found.scores < SURE)
    near[near] = overlap(corners, found.corners[near]) >= OVERLAP
    if not near.any():
        return None
    best = int(np.flatnonzero(near)[found.scores[near].argmax()])
    return FoundBox(found.corners[best], float(found.scores[best]))


def overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return intersection over union of a box with others, shape (n,)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0), np.float64)
