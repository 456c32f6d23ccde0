"""What is counted of a mask's pixels, class by class, and what follows of any set of masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.truth import ClassMap
from runner.evaluation.metric import Scores
from runner.evaluation.outputs import NO_ANSWER

# Numbers a class of a row: the class, pixels that are rightly of it, that are of it, that are said to be.
_NUMBERS = 4
# Numbers of a matrix of items by classes that are held at a time.
_AT_A_TIME = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class PixelCounts:
    """Pixels of each class that is true or was said of a pixel.

    Attributes:
        classes: their numbers, ascending, int64 of shape (k,).
        counts: (right, true, said) of each, shape (k, 3): in how many pixels both agree on it, how many are of it, and how many
            the model says to be.
    """

    classes: NDArray[np.int64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, truth: ClassMap, said: NDArray[np.int32]) -> PixelCounts:
        """Return the counts of one mask.

        Pixels that are to be ignored, and those that the model's input does not hold, are not counted.

        Args:
            truth: the mask.
            said: the class of each place of a grid over the whole input; ``NO_ANSWER`` is never right.
        """
        grid = (said.shape[0], said.shape[1])
        rows, columns = truth.frame.cells(grid)
        true = truth.classes
        if rows.min(initial=0) < 0 or columns.min(initial=0) < 0:
            inside = rows >= 0, columns >= 0
            rows, columns, true = rows[inside[0]], columns[inside[1]], true[np.ix_(*inside)]
        # As many places as there are pixels: one gather after the other is quicker than one by both.
        found = said[rows][:, columns]
        if truth.ignore is not None:
            counted = true != truth.ignore
            if not counted.all():
                true, found = true[counted], found[counted]
        return _counted(true.reshape(-1), found.reshape(-1))

    @classmethod
    def total(cls, scores: Scores) -> PixelCounts:
        """Return the counts of all masks together, given their rows."""
        entries = np.concatenate([np.empty(0), *(np.asarray(row, np.float64) for row in scores)]).reshape(-1, _NUMBERS)
        classes, place = np.unique(entries[:, 0].astype(np.int64), return_inverse=True)
        sums = [np.bincount(place, entries[:, column], len(classes)) for column in range(1, _NUMBERS)]
        return cls(classes, np.stack(sums, axis=1))

    def row(self) -> NDArray[np.float64]:
        """Return it as a row: ``(class, right, true, said)`` a class, one after the other."""
        return np.column_stack([self.classes, self.counts]).reshape(-1)

    @property
    def true_classes(self) -> NDArray[np.int64]:
        """The classes that occur in the truth."""
        return self.classes[self.counts[:, 1] > 0]

    def overlap(self) -> NDArray[np.float64]:
        """Return intersection over union of each class that occurs in the truth, 0..1."""
        return _overlap(self.counts[self.counts[:, 1] > 0])

    def mean_overlap(self) -> float:
        """Return their mean in percent; NaN where the truth has no pixel."""
        each = self.overlap()
        return 100.0 * float(each.mean()) if each.size else float("nan")

    def accuracy(self) -> float:
        """Return the share of pixels that are right in percent; NaN where the truth has no pixel."""
        right, true, _ = self.counts.sum(axis=0)
        return 100.0 * float(right / true) if true else float("nan")


def drawn_mean_overlaps(scores: Scores, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean overlap, in percent, of draws of items; NaN where a draw has no pixel that counts.

    Args:
        scores: rows of items.
        times: how often each item is drawn, shape (draws, items).
    """
    known = PixelCounts.total(scores).true_classes
    sums, present = np.zeros(len(times)), np.zeros(len(times))
    often = times.astype(np.float64)
    step = max(1, _AT_A_TIME // (3 * max(len(scores), 1)))
    for start in range(0, len(known), step):
        counts = often @ _dense(scores, known[start : start + step])
        parts = counts.reshape(len(times), -1, 3)
        true = parts[:, :, 1] > 0
        sums += np.where(true, _overlap(parts), 0.0).sum(axis=1)
        present += true.sum(axis=1)
    return np.where(present > 0, 100.0 * sums / np.maximum(present, 1), np.nan)


def _dense(scores: Scores, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (right, true, said) of some classes, ascending, in each item, shape (items, classes * 3)."""
    dense = np.zeros((len(scores), len(classes), 3))
    for item, row in enumerate(scores):
        entries = np.asarray(row, np.float64).reshape(-1, _NUMBERS)
        numbers = entries[:, 0].astype(np.int64)
        place = np.minimum(np.searchsorted(classes, numbers), len(classes) - 1)
        mine = classes[place] == numbers
        dense[item, place[mine]] = entries[mine, 1:]
    return dense.reshape(len(scores), -1)


def _overlap(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return right / (true + said - right), 0 where that is 0 / 0, of counts (..., 3)."""
    right = counts[..., 0]
    either = counts[..., 1] + counts[..., 2] - right
    return np.asarray(right / np.where(either > 0, either, 1.0), np.float64)


def _counted(true: NDArray[np.integer], said: NDArray[np.int32]) -> PixelCounts:
    answered = said[said != NO_ANSWER] if said.size and said.min() == NO_ANSWER else said
    length = 1 + max(int(true.max(initial=0)), int(answered.max(initial=0)))
    columns = [np.bincount(each, minlength=length) for each in (true[true == said], true, answered)]
    counts = np.stack(columns, axis=1).astype(np.float64)
    classes = np.flatnonzero(counts.any(axis=1))
    return PixelCounts(classes.astype(np.int64), counts[classes])
