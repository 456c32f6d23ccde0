"""Intervals of the loss, against closed forms and against coverage counted in full."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Sqnr
from runner.evaluation.uncertainty import Interval, items_for_target, loss_interval, paired_interval

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


def test_a_counted_metric_uses_its_pairs() -> None:
    before, after = np.ones((1000, 1)), np.ones((1000, 1))
    after[:7] = 0
    before[10:12] = 0
    interval = loss_interval(TopK(), before, after, target=0.2)
    low, high = paired_interval(7, 2, 1000)
    assert interval.method == "tango"
    assert (interval.low, interval.high) == pytest.approx((100 * low, 100 * high))
    assert interval.low < 0.5 < interval.high
    # z^2 (b + c - (b - c)^2 / n) / n / (target - loss)^2, all in shares.
    assert interval.items_to_settle == math.ceil(Z**2 * (0.009 - 0.005**2) / 0.003**2)


def test_items_that_settle_it_do_so_where_no_answer_changes() -> None:
    same = np.ones((700, 1))
    needed = loss_interval(TopK(), same, same, target=0.5).items_to_settle
    assert needed is not None
    assert 100 * paired_interval(0, 0, needed)[1] < 0.5 <= 100 * paired_interval(0, 0, needed - 1)[1]


def test_a_distance_is_resampled_like_a_mean() -> None:
    scores = np.random.default_rng(3).exponential(0.01, (800, 1))
    interval = loss_interval(Kl(), np.zeros((800, 1)), scores)
    mean, error = scores.mean(), scores.std() / math.sqrt(800)
    assert interval.method == "bootstrap"
    assert interval.low == pytest.approx(mean - Z * error, abs=0.25 * error)
    assert interval.high == pytest.approx(mean + Z * error, abs=0.25 * error)
    assert interval == loss_interval(Kl(), np.zeros((800, 1)), scores)


def test_identical_outputs_have_no_spread() -> None:
    scores = np.tile([4.0, 0.0], (30, 1))
    assert loss_interval(Sqnr(), scores, scores) == Interval(0.0, 0.0, "bootstrap", None)


def test_the_verdict_asks_where_the_whole_interval_lies() -> None:
    interval = Interval(-0.1, 0.3, "tango")
    assert [interval.verdict(target) for target in (0.31, 0.3, 0.2, -0.1, -0.2)] == [
        "met",
        "undecided",
        "undecided",
        "not_met",
        "not_met",
    ]


@pytest.mark.parametrize("target", [0.1, 0.2, 0.3, 0.5, 1.0, 7.0])
def test_items_for_a_target_are_the_fewest_that_forgive_one_miss(target: float) -> None:
    needed = items_for_target(target)
    assert needed is not None
    before = np.ones((needed, 1))
    after = before.copy()
    after[0] = 0
    assert Agreement().accepts(before, after, target)
    assert not Agreement().accepts(before[:-1], after[:-1], target)


def test_no_number_of_items_forgives_a_miss_at_a_target_of_nothing() -> None:
    assert items_for_target(0.0) is None
