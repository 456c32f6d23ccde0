"""What a photo's row says in words, and what the change from one to another costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.tasks.detection.matching import matched
from runner.tasks.detection.postprocess import Detections
from runner.tasks.detection.rows import ItemBoxes
from runner.wording import say

# What a person would call found: boxes of this score that overlap a true one by this much.
SURE = 0.25
OVERLAP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was found in a photo by boxes of a score of at least SURE, at an overlap of OVERLAP.

    Attributes:
        sureness: the score of the box that found each true one, 0 where none did; crowds left out. Shape (n,).
        by: that box's corners, zeros where there is none, shape (n, 4).
        false: scores of the boxes that found nothing, shape (m,).
        false_corners: of shape (m, 4).
        false_classes: of shape (m,).
    """

    sureness: NDArray[np.float64]
    by: NDArray[np.float64]
    false: NDArray[np.float64]
    false_corners: NDArray[np.float64]
    false_classes: NDArray[np.int64]

    @classmethod
    def of(cls, row: NDArray[np.float64]) -> Seen:
        """Return what a row says was found."""
        item = ItemBoxes.from_row(row)
        found = item.found
        sure = found.scores >= SURE
        shown = Detections(found.corners[sure], found.scores[sure], found.classes[sure])
        matches = matched([ItemBoxes(item.corners, item.classes, item.areas, item.crowd, shown)], np.array([OVERLAP]))
        scores = np.zeros(len(item.classes))
        by = np.zeros((len(item.classes), 4))
        found_corners = np.concatenate(
            [matches.found.boxes[:, :2], matches.found.boxes[:, :2] + matches.found.boxes[:, 2:]], axis=1
        )
        right = matches.right[:, 0]
        false = ~right & ~matches.ignored[:, 0]
        scores[matches.takes[right, 0]] = matches.found.scores[right]
        by[matches.takes[right, 0]] = found_corners[right]
        return cls(
            scores[~item.crowd],
            by[~item.crowd],
            matches.found.scores[false],
            found_corners[false],
            matches.found.classes[false],
        )

    def words(self) -> str:
        """Return it as ``3 of 4 found, 1 false``."""
        return say(
            "{found} of {count} found, {false} false",
            found=np.count_nonzero(self.sureness),
            count=len(self.sureness),
            false=len(self.false),
        )


def cost(before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
    """Return what a change cost: scores of true boxes no longer found less those newly found, and the false boxes' rise.

    None where the same true boxes are found, with as many false ones beside them.
    """
    was, now = Seen.of(before), Seen.of(after)
    moved = (was.sureness > 0) != (now.sureness > 0)
    if not moved.any() and len(was.false) == len(now.false):
        return None
    return float((was.sureness - now.sureness)[moved].sum() + now.false.sum() - was.false.sum())
