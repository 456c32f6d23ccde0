"""An item's row: how many errors a line was read with, and what was read, so that no later stage needs outputs."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.metric import Scores
from runner.tasks.text.edit_distance import edit_distance

# Numbers of a row before the text.
_HEAD = 3


@dataclass(frozen=True, slots=True)
class LineRead:
    """What a model read, held against the truth.

    A row is ``[edits, characters of the truth, 1 where the line is exact, the code points of the text that was read]``.

    Attributes:
        edits: changes, insertions and deletions that lead from one to the other.
        length: characters of the truth.
        exact: whether both are the same.
        text: what was read, in Unicode's composed form.
    """

    edits: int
    length: int
    exact: bool
    text: str

    @classmethod
    def of(cls, truth: str, read: str, *, ignore_case: bool) -> LineRead:
        """Return what became of a line; both texts are compared in composed form (NFC)."""
        text = unicodedata.normalize("NFC", read)
        compared = [unicodedata.normalize("NFC", each) for each in (truth, read)]
        if ignore_case:
            compared = [each.casefold() for each in compared]
        edits = edit_distance(*compared)
        return cls(edits, len(compared[0]), edits == 0, text)

    @classmethod
    def from_row(cls, row: NDArray[np.float64]) -> LineRead:
        """Return what a row says."""
        edits, length, exact = (int(number) for number in row[:_HEAD])
        return cls(edits, length, bool(exact), "".join(chr(int(point)) for point in row[_HEAD:]))

    def row(self) -> tuple[float, ...]:
        """Return it as a row of numbers."""
        return (float(self.edits), float(self.length), float(self.exact), *map(float, map(ord, self.text)))


def counts(scores: Scores) -> NDArray[np.float64]:
    """Return (edits, characters of the truth, exact) of each item, shape (items, 3)."""
    return np.array([row[:_HEAD] for row in scores], np.float64).reshape(-1, _HEAD)
