"""Greedy non-maximum suppression: of boxes that overlap, the surest stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.tasks.detection.postprocess import Detections

# Boxes judged at a time. What is kept is seldom more than the first few hundred, so the rest is never compared.
_BLOCK = 256


def surest(
    corners: NDArray[np.floating], scores: NDArray[np.floating], classes: NDArray[np.integer], most: int
) -> Detections:
    """Return boxes by falling score, equal ones in their order, at most ``most``.

    What cannot be a box is left out: numbers that are not finite, a right edge left of the left one.

    Args:
        corners: x1, y1, x2, y2, shape (n, 4).
        scores: shape (n,).
        classes: shape (n,).
        most: how many are kept.
    """
    sureness: NDArray[np.float64] = np.asarray(scores, np.float64)
    places: NDArray[np.float64] = np.asarray(corners, np.float64)
    with np.errstate(invalid="ignore"):
        boxes = np.isfinite(places).all(axis=1) & np.isfinite(sureness) & (places[:, :2] <= places[:, 2:]).all(axis=1)
    found = np.flatnonzero(boxes)
    if len(found) > most:
        # Sorting a million boxes takes longer than finding the score that enough of them reach.
        least = np.partition(sureness[found], -most)[-most]
        found = found[sureness[found] >= least]
    order = found[np.argsort(-sureness[found], kind="stable")[:most]]
    return Detections(places[order], sureness[order], np.asarray(classes[order], np.int64))


def suppressed(found: Detections, iou: float, most: int) -> Detections:
    """Return the boxes that no surer box of their class overlaps by more than ``iou``, at most ``most``, by falling score.

    Args:
        found: by falling score, see ``surest``.
        iou: intersection over union, as torchvision's ``nms`` takes it: equal ones stay.
        most: how many are kept, of all classes together.
    """
    kept = np.empty(0, np.int64)
    for start in range(0, len(found.scores), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(found.scores)))
        if len(kept):
            block = block[~_over(found, kept, block, iou).any(axis=0)]
        kept = np.concatenate([kept, block[_greedy(np.triu(_over(found, block, block, iou), 1))]])
        if len(kept) >= most:
            break
    kept = kept[:most]
    return Detections(found.corners[kept], found.scores[kept], found.classes[kept])


def intersections_over_unions(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the overlap of boxes x1, y1, x2, y2, shape (n, 4) and (m, 4), as shape (n, m); 0 where neither has an area."""
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (first, second)]
    a, b = first.T[:, :, np.newaxis], second.T[:, np.newaxis, :]
    width = np.maximum(np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]), 0)
    both = np.maximum(np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]), 0)
    both *= width
    union = areas[0][:, np.newaxis] + areas[1] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0), np.float64)


def _over(found: Detections, first: NDArray[np.int64], second: NDArray[np.int64], iou: float) -> NDArray[np.bool_]:
    same = found.classes[first][:, np.newaxis] == found.classes[second]
    return np.asarray(same & (intersections_over_unions(found.corners[first], found.corners[second]) > iou), np.bool_)


def _greedy(over: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which boxes stay, given which later boxes each of them overlaps."""
    stays = np.ones(len(over), np.bool_)
    for row in np.flatnonzero(over.any(axis=1)):
        if stays[row]:
            stays &= ~over[row]
    return stays
