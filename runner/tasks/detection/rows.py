"""An item's row: the boxes found in a photo, and those that are to be found, so that no later stage needs outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.truth import Boxes
from runner.tasks.detection.postprocess import Detections

# Numbers of a true box: x1, y1, x2, y2, class, area, crowd; of a found one: x1, y1, x2, y2, class, score.
_TRUE, _FOUND = 7, 6


@dataclass(frozen=True, slots=True, eq=False)
class ItemBoxes:
    """What is true of a photo and what a model found, in the photo's pixels.

    A row is two counts and then the boxes, one after the other: ``[true boxes, found boxes, (x1, y1, x2, y2, class, area,
    crowd) a true box, (x1, y1, x2, y2, class, score) a found one]``, in the truth's order and by falling score.

    Attributes:
        corners: x1, y1, x2, y2 of the true boxes, shape (n, 4).
        classes: int64 of shape (n,).
        areas: by which small is told from large, shape (n,).
        crowd: which of them stand for many, shape (n,).
        found: what the model found, its corners in the photo's pixels and cut at its edges.
    """

    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    found: Detections

    @classmethod
    def of(cls, truth: Boxes, found: Detections) -> ItemBoxes:
        """Return an item's boxes, given what was found in pixels of the model's input."""
        placed = Detections(truth.frame.to_photo(found.corners), found.scores, found.classes)
        return cls(truth.corners, truth.classes, truth.areas, truth.crowd, placed)

    def row(self) -> NDArray[np.float64]:
        """Return it as a row of numbers."""
        true = np.column_stack([self.corners, self.classes, self.areas, self.crowd])
        found = np.column_stack([self.found.corners, self.found.classes, self.found.scores])
        return np.concatenate([[len(true), len(found)], true.ravel(), found.ravel()])

    @classmethod
    def from_row(cls, row: NDArray[np.float64]) -> ItemBoxes:
        """Return what a row says."""
        numbers = np.asarray(row, np.float64)
        counts = numbers[:2].astype(np.int64)
        end = 2 + int(counts[0]) * _TRUE
        true, found = numbers[2:end].reshape(-1, _TRUE), numbers[end:].reshape(-1, _FOUND)
        detections = Detections(found[:, :4], found[:, 5], found[:, 4].astype(np.int64))
        return cls(true[:, :4], true[:, 4].astype(np.int64), true[:, 5], true[:, 6] != 0, detections)
