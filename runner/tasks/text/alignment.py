"""Which characters of a text that was read are wrong, extra or missing, by as few edits as make one text of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Edit = Literal["same", "wrong", "extra", "missing"]

# Pairs of characters that are compared; longer texts are told as different as a whole.
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Aligned:
    """A character of a text that was read, or one that is missing in it, and what of it is true.

    Attributes:
        edit: what makes it of the truth.
        character: as it was read; the missing one itself.
    """

    edit: Edit
    character: str


def aligned(truth: str, read: str, *, same: Callable[[str, str], bool] = str.__eq__) -> list[Aligned]:
    """Return what was read, character by character, with what is missing in it.

    Among alignments of as few edits that is taken which has most of the last characters right.

    Args:
        truth: the true text.
        read: the text that was read.
        same: whether two characters count as one.
    """
    if len(truth) * len(read) > _MOST:
        return [Aligned("wrong", character) for character in read]
    table = _distances(truth, read, same)
    found = list[Aligned]()
    i, j = len(truth), len(read)
    while i or j:
        if i and j and same(truth[i - 1], read[j - 1]) and table[i][j] == table[i - 1][j - 1]:
            i, j = i - 1, j - 1
            found.append(Aligned("same", read[j]))
        elif i and j and table[i][j] == table[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
            found.append(Aligned("wrong", read[j]))
        elif j and table[i][j] == table[i][j - 1] + 1:
            j -= 1
            found.append(Aligned("extra", read[j]))
        else:
            i -= 1
            found.append(Aligned("missing", truth[i]))
    return found[::-1]


def _distances(truth: str, read: str, same: Callable[[str, str], bool]) -> list[list[int]]:
    """Return the edits between the first i characters of one text and the first j of the other."""
    table = [list(range(len(read) + 1))]
    for i, character in enumerate(truth, start=1):
        above, row = table[-1], [i]
        for j, other in enumerate(read, start=1):
            row.append(min(above[j - 1] + (not same(character, other)), above[j] + 1, row[j - 1] + 1))
        table.append(row)
    return table
