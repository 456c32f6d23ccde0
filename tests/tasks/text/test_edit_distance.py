"""Edit distances against the definition, all short texts, and what holds of any distance."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from runner.tasks.text.edit_distance import edit_distance


@functools.cache
def by_definition(before: str, after: str) -> int:
    if not before or not after:
        return len(before) + len(after)
    return min(
        by_definition(before[1:], after) + 1,
        by_definition(before, after[1:]) + 1,
        by_definition(before[1:], after[1:]) + (before[0] != after[0]),
    )


def test_every_pair_of_short_texts() -> None:
    texts = ["".join(letters) for length in range(6) for letters in itertools.product("ab", repeat=length)]
    assert all(edit_distance(one, other) == by_definition(one, other) for one in texts for other in texts)


@pytest.mark.parametrize("seed", range(5))
def test_longer_texts_than_a_machine_word(seed) -> None:
    rng = np.random.default_rng(seed)
    one, other = ("".join(rng.choice(list("abcdé中𝕏"), rng.integers(60, 150))) for _ in range(2))
    table = [list(range(len(other) + 1))]
    for row, left in enumerate(one, start=1):
        line = [row]
        for column, right in enumerate(other, start=1):
            line.append(min(line[-1] + 1, table[-1][column] + 1, table[-1][column - 1] + (left != right)))
        table.append(line)
    assert edit_distance(one, other) == table[-1][-1] == edit_distance(other, one)
    assert edit_distance(one, one) == 0


def test_known_words() -> None:
    assert [edit_distance(*pair) for pair in (("kitten", "sitting"), ("", "abc"), ("abc", ""), ("", ""))] == [
        3,
        3,
        3,
        0,
    ]
