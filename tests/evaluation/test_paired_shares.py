"""Limits from counts, against closed forms and against coverage counted in full."""

from __future__ import annotations

import math
from itertools import product

import pytest

from runner.evaluation.paired_shares import LEVEL, binomial_limits, paired_interval

Z = 1.959963984540054


@pytest.mark.parametrize("items", [1, 10, 160, 1000])
def test_no_change_at_all_is_still_uncertain(items: int) -> None:
    # T(d) = -n d / sqrt(n d (1 - d)) = -z has the solution d = z^2 / (n + z^2).
    limit = Z**2 / (items + Z**2)
    assert paired_interval(0, 0, items) == pytest.approx((-limit, limit), abs=1e-12)


def test_zero_is_inside_as_mcnemar_has_it() -> None:
    # At a difference of 0 the statistic is McNemar's (b - c) / sqrt(b + c).
    for lost, gained in product(range(12), repeat=2):
        low, high = paired_interval(lost, gained, 200)
        if lost + gained:
            statistic = (lost - gained) / math.sqrt(lost + gained)
            assert (low <= 0 <= high) == (abs(statistic) <= Z)


def test_swapping_the_models_turns_the_interval_round() -> None:
    low, high = paired_interval(9, 3, 150)
    assert paired_interval(3, 9, 150) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(("only_first", "only_second"), [(0.02, 0.02), (0.1, 0.05), (0.01, 0.0), (0.3, 0.3)])
def test_it_covers_the_true_difference_as_often_as_it_says(only_first: float, only_second: float) -> None:
    items, covered = 60, 0.0
    for lost in range(items + 1):
        for gained in range(items + 1 - lost):
            low, high = paired_interval(lost, gained, items)
            if low <= only_first - only_second <= high:
                ways = math.comb(items, lost) * math.comb(items - lost, gained)
                rest = (1 - only_first - only_second) ** (items - lost - gained)
                covered += ways * only_first**lost * only_second**gained * rest
    assert 0.93 <= covered <= 1.0 + 1e-9


@pytest.mark.parametrize("items", [1, 2, 3, 10, 300, 50_000])
def test_share_of_which_nothing_was_seen_has_the_rule_of_three_for_a_limit(items: int) -> None:
    # (1 - p)^n = 0.05.
    assert binomial_limits(0, items) == pytest.approx((0.0, 1 - 0.05 ** (1 / items)), abs=1e-12)
    assert binomial_limits(items, items) == pytest.approx((0.05 ** (1 / items), 1.0), abs=1e-12)


@pytest.mark.parametrize(("count", "items"), [(1, 3), (2, 10), (7, 40), (30, 100), (99, 100)])
def test_limits_of_a_share_solve_the_binomial_tails(count: int, items: int) -> None:
    low, high = binomial_limits(count, items)

    def tail(counts: range, share: float) -> float:
        return math.fsum(math.comb(items, k) * share**k * (1 - share) ** (items - k) for k in counts)

    assert tail(range(count + 1), high) == pytest.approx(1 - LEVEL, abs=1e-9)
    assert tail(range(count, items + 1), low) == pytest.approx(1 - LEVEL, abs=1e-9)


@pytest.mark.parametrize("items", [1, 2, 3, 5, 10, 40])
def test_each_limit_of_a_share_holds_at_least_as_often_as_it_says(items: int) -> None:
    limits = [binomial_limits(count, items) for count in range(items + 1)]
    for share in (0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.99):
        chances = [math.comb(items, k) * share**k * (1 - share) ** (items - k) for k in range(items + 1)]
        for side in (0, 1):
            held = [
                chance for chance, limit in zip(chances, limits, strict=True) if (limit[side] <= share) == (side == 0)
            ]
            assert math.fsum(held) >= LEVEL - 1e-12
