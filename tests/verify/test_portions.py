"""Every layer comes once, in order, and no portion is larger than what the one before it lets fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.verify.portions import Portions


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 300))
def test_every_layer_comes_once_in_order(sizes: list[int], most: int) -> None:
    portions = Portions(list(enumerate(sizes)), most)
    seen = []
    for portion in portions:
        assert portion
        seen += portion
        portions.took([np.zeros(size, np.uint8) for _, size in portion])
    assert seen == list(enumerate(sizes))


@pytest.mark.parametrize(
    ("size", "counts"),
    [(1, [16, 84]), (16, [16] + [8] * 10 + [4]), (100, [16] + [1] * 84)],
)
def test_as_many_as_fit_by_those_before(size: int, counts: list[int]) -> None:
    portions = Portions([size] * 100, 128)
    found = []
    for portion in portions:
        found.append(len(portion))
        portions.took([np.zeros(each, np.uint8) for each in portion])
    assert found == counts
