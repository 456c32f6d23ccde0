"""Average precision over draws of items, from matches that are made once: a draw is how often each item is in it.

Precision over recall is read where a true box was found, and only there can the highest precision at a recall or beyond lie; so
a draw looks at the right boxes alone, and at how many boxes stand before each. Items that are drawn twice stand beside each
other, where a sample written out would have its boxes of equal score in the order of the draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runner.tasks.detection.average_precision import RECALLS
from runner.tasks.detection.matching import matched
from runner.tasks.detection.rows import ItemBoxes


class ResampledPrecision:
    """AP at COCO's overlaps of any draw of items, in percent.

    Args:
        items: the boxes of each.
    """

    def __init__(self, items: Sequence[ItemBoxes]) -> None:
        matches = matched(items)
        counted = ~matches.truths.ignored
        self._classes, true = np.unique(matches.truths.classes[counted], return_inverse=True)
        self._true, self._true_item = true, matches.truths.item[counted]
        found = matches.found
        # By class and falling score; equal scores in the order of items.
        order = np.lexsort((-found.scores, found.classes))
        order = order[np.isin(found.classes[order], self._classes)]
        self._item = found.item[order]
        of = np.searchsorted(self._classes, found.classes[order])
        starts = np.searchsorted(of, np.arange(len(self._classes)))
        # Boxes overlap by overlap, so that those of one overlap and class are a run.
        self._overlaps = matches.right.shape[1]
        overlap, self._place = np.nonzero(matches.right[order].T)
        self._class = of[self._place]
        self._right_item = self._item[self._place]
        self._class_start = starts[self._class]
        run = overlap * len(self._classes) + self._class
        self._first = np.append(True, run[1:] != run[:-1])[: len(run)]
        self._run_start = np.maximum.accumulate(np.where(self._first, np.arange(len(run)), 0))
        # Lifts each run above those behind it, so that a maximum from the end stays within its run.
        self._lift = 2.0 * (self._overlaps * len(self._classes) - run)
        self._index_ignored(matches.ignored[order], overlap)

    def _index_ignored(self, ignored: NDArray[np.bool_], overlap: NDArray[np.int64]) -> None:
        """Note how many boxes that count for nothing stand before each right one, and before its class."""
        which, place = np.nonzero(ignored.T)
        self._ignored_item = self._item[place]
        boxes = len(self._item) + 1
        keys = which * boxes + place
        self._ignored_before = np.searchsorted(keys, overlap * boxes + self._place)
        self._ignored_at_start = np.searchsorted(keys, overlap * boxes + self._class_start)

    def percent(self, times: NDArray[np.int64]) -> float:
        """Return AP in percent; NaN where the draw holds no true box.

        Args:
            times: how often each item is drawn, shape (items,).
        """
        true = np.bincount(self._true, times[self._true_item], len(self._classes))
        present = np.count_nonzero(true)
        if not present:
            return float("nan")
        if not len(self._place):
            return 0.0
        right = _sums(times[self._right_item])
        rights = right[1:] - right[self._run_start]
        boxes, ignored = _sums(times[self._item]), _sums(times[self._ignored_item])
        counted = boxes[self._place + 1] - boxes[self._class_start]
        counted -= ignored[self._ignored_before] - ignored[self._ignored_at_start]
        precision = rights / (counted + np.spacing(1))
        best = np.maximum.accumulate((precision + self._lift)[::-1])[::-1] - self._lift
        recall = rights / np.maximum(true, 1)[self._class]
        reached = np.searchsorted(RECALLS, recall, side="right")
        before = np.where(self._first, 0, np.append(0, reached[:-1]))
        total = float(((reached - before) * best).sum())
        return 100 * total / float(len(RECALLS) * self._overlaps * present)


def _sums(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return running sums that begin with 0."""
    return np.concatenate([[0], np.cumsum(counts)])
