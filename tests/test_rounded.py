"""Numbers as people write them."""

from __future__ import annotations

import pytest

from runner.rounded import rounded


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.648, 2, "0.65"), (9.96, 2, "10"), (99.7, 2, "100"), (131.4, 2, "131"), (1234.5, 3, "1234"), (0, 2, "0"),
     (2.5e-7, 2, "2.5e-07"), (-250.4, 2, "-250"), (float("inf"), 2, "inf")],
)  # fmt: skip
def test_a_number_has_its_digits_and_a_large_one_no_exponent(value: float, digits: int, expected: str) -> None:
    assert rounded(value, digits) == expected
