"""Every layer comes once, in order, and no portion that could be smaller is larger than allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.verify.portions import portions


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 300))
def test_every_layer_comes_once_in_order_and_fits(sizes: list[int], most: int) -> None:
    given_ = {f"layer{place}": size for place, size in enumerate(sizes)}
    found = list(portions(given_, most))
    assert [layer for portion in found for layer in portion] == list(given_)
    totals = [sum(given_[layer] for layer in portion) for portion in found]
    assert all(len(portion) == 1 or total <= most for portion, total in zip(found, totals, strict=True))
    # One more would not have fitted.
    assert all(total + given_[behind[0]] > most for total, behind in zip(totals, found[1:], strict=False))


@pytest.mark.parametrize(("size", "counts"), [(1, [100]), (16, [8] * 12 + [4]), (100, [1] * 100)])
def test_as_many_as_fit(size: int, counts: list[int]) -> None:
    assert [len(portion) for portion in portions({str(place): size for place in range(100)}, 128)] == counts
