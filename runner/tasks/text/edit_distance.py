"""How many characters have to be changed, put in or taken out to make one text of another (V. Levenshtein, 1966).

By bits, a column of the table of distances at a time: H. Hyyrö, "A Bit-Vector Algorithm for Computing Levenshtein and Damerau
Edit Distances", Nordic Journal of Computing 10, 2003, after G. Myers, 1999. Python's integers hold a column of any length.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(before: Sequence[Hashable], after: Sequence[Hashable]) -> int:
    """Return the least number of changes, insertions and deletions that make one sequence of another."""
    if not before or not after:
        return max(len(before), len(after))
    places: dict[Hashable, int] = {}
    for place, character in enumerate(before):
        places[character] = places.get(character, 0) | 1 << place
    mask, last = (1 << len(before)) - 1, 1 << len(before) - 1
    # Where a column's distance is one more, or one less, than that above it.
    rises, falls, distance = mask, 0, len(before)
    for character in after:
        equal = places.get(character, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        right_rises = falls | ~(diagonal | rises)
        right_falls = rises & diagonal
        distance += bool(right_rises & last) - bool(right_falls & last)
        right_rises = right_rises << 1 | 1
        rises = (right_falls << 1 | ~(diagonal | right_rises)) & mask
        falls = right_rises & diagonal & mask
    return distance
