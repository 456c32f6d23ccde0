"""Which items are taken, and digests of parts."""

from __future__ import annotations

import itertools

import pytest

from runner.dataset.item import digest, evenly_spaced
from runner.errors import ConfigError


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(1, 10, [0]), (3, 10, [0, 3, 6]), (5, 10, [0, 2, 4, 6, 8]), (4, 4, [0, 1, 2, 3]), (1, 1, [0])],
)
def test_indices_are_spread_over_the_whole(count: int, total: int, expected: list[int]) -> None:
    assert evenly_spaced(count, total) == expected


@pytest.mark.parametrize("total", range(1, 40))
def test_indices_are_distinct_ascending_and_at_even_distances(total: int) -> None:
    for count in range(1, total + 1):
        indices = evenly_spaced(count, total)
        gaps = {b - a for a, b in itertools.pairwise([*indices, total])}
        assert len(indices) == count and indices[0] == 0 and indices[-1] < total
        assert gaps <= {total // count, -(-total // count)}


@pytest.mark.parametrize("count", [0, -1, 11])
def test_count_outside_the_data_is_refused_with_its_key(count: int) -> None:
    with pytest.raises(ConfigError) as error:
        evenly_spaced(count, 10, key="evaluation.count")
    assert str(error.value) == (
        f"evaluation.count: expected 1 to 10 (the dataset's items), got {count}. Lower it or name more data."
    )


def test_parts_of_a_digest_are_told_apart() -> None:
    digests = [digest(b"ab", b"c"), digest(b"a", b"bc"), digest(b"abc"), digest(b"ab", b"c", None), digest(b"ab", 1)]
    assert len(set(digests)) == len(digests)
    assert digest(b"ab", b"c") == digests[0]
