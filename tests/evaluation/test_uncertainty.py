"""Intervals of the loss, against closed forms and against how often they cover the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.metric import Metric
from runner.evaluation.paired_shares import binomial_limits, paired_interval
from runner.evaluation.position_agreement import PositionAgreement
from runner.evaluation.uncertainty import FEWEST, Interval, items_for_target, loss_interval

Z = 1.959963984540054


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


ONE_SIDED_Z = 1.6448536269514722


def test_a_distance_has_one_limit_on_either_side_of_its_mean() -> None:
    scores = np.random.default_rng(3).exponential(0.01, (800, 1))
    interval = loss_interval(Kl(), np.zeros((800, 1)), scores)
    mean, error = scores.mean(), scores.std() / math.sqrt(800)
    assert (interval.low, interval.method, interval.one_sided) == (0.0, "bootstrap_t", True)
    assert interval.at_least == pytest.approx(mean - ONE_SIDED_Z * error, abs=0.25 * error)
    assert interval.high == pytest.approx(mean + ONE_SIDED_Z * error, abs=0.25 * error)
    assert interval == loss_interval(Kl(), np.zeros((800, 1)), scores)


def of_errors(metric: Metric, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the float model's scores and those of errors, shape (items, outputs), with a weight of 10 for each."""
    other = np.full(len(errors), 10.0)
    made = []
    for own in (np.zeros_like(errors), errors):
        outputs = [
            {"kl": [e], "mse": [e, other], "agreement": [e, other], "sqnr": [other, e, other]}[metric.name]
            for e in own.T
        ]
        made.append(np.stack([column for columns in outputs for column in columns], axis=1))
    return made[0], made[1]


SPREADS = {
    "normal": (lambda g, shape: 0.05 * np.maximum(5 + g.normal(size=shape), 0.0), 0.25, 0.9),
    "exponential": (lambda g, shape: g.exponential(0.25, shape), 0.25, 0.85),
    "one in five": (lambda g, shape: g.exponential(1.25, shape) * (g.random(shape) < 0.2), 0.25, 0.85),
}


@pytest.mark.parametrize("metric", [Mse(), Sqnr()], ids=lambda metric: metric.name)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("drawn", "mean", "least"), SPREADS.values(), ids=SPREADS.keys())
def test_limits_of_a_distance_hold_about_as_often_as_they_say(metric, outputs, drawn, mean, least) -> None:
    generator, trials = np.random.default_rng(7), 60
    true = metric.loss_at(mean / 10)
    for items in (12, 60):
        above = below = 0
        for seed in range(trials):
            before, after = of_errors(metric, drawn(generator, (items, outputs)))
            interval = loss_interval(metric, before, after, seed=seed)
            above += interval.high >= true
            below += interval.at_least <= true
        # Chance alone takes a limit that holds 95 times in 100 to 0.85 of 60 in one case of a thousand.
        assert above / trials >= least - 0.02
        assert below / trials >= 0.85


def test_percentile_bootstrap_would_miss_where_this_does_not() -> None:
    generator, trials, items = np.random.default_rng(11), 200, 15
    studentized = percentile = 0
    for seed in range(trials):
        errors = generator.lognormal(0, 1, (items, 1))
        picks = generator.integers(items, size=(400, items))
        percentile += np.quantile(errors[picks, 0].mean(axis=1), 0.95) >= math.exp(0.5)
        studentized += loss_interval(Kl(), np.zeros((items, 1)), errors, seed=seed).high >= math.exp(0.5)
    assert percentile <= 0.81 * trials < 0.85 * trials <= studentized


@pytest.mark.parametrize("metric", [Kl(), Mse(), Sqnr(), PositionAgreement("y")], ids=lambda metric: metric.name)
@pytest.mark.parametrize("items", [1, 2, 3, 9])
def test_few_items_say_nothing_of_the_spread_of_a_distance(metric: Metric, items: int) -> None:
    scores = of_errors(metric, np.random.default_rng(0).uniform(0.1, 1, (items, 1)))
    interval = loss_interval(metric, *scores, target=1.0)
    said = "1 item is" if items == 1 else f"{items} items are"
    assert interval == Interval(0.0, math.inf, "none", at_least=0.0, unsure=f"{said} too few to tell the spread")
    assert interval.verdict(1e-9) == interval.verdict(1e9) == "undecided"


@pytest.mark.parametrize("items", [1, 2, 3, 9])
def test_few_hits_and_misses_have_no_interval_where_either_model_may_be_better(items: int) -> None:
    same = np.ones((items, 1))
    interval = loss_interval(TopK(), same, same, target=200.0)
    assert (interval.low, interval.high, interval.method) == (-math.inf, math.inf, "none")
    assert interval.verdict(200.0) == interval.verdict(-200.0) == "undecided"
    assert loss_interval(TopK(), np.ones((FEWEST, 1)), np.ones((FEWEST, 1))).method == "tango"


@pytest.mark.parametrize(("lost", "items"), [(0, 1), (0, 2), (0, 3), (1, 3), (3, 3), (0, 700), (5, 160)])
def test_agreement_has_the_exact_limit_however_few_the_items(lost: int, items: int) -> None:
    before, after = np.ones((items, 1)), np.ones((items, 1))
    after[:lost] = 0
    interval = loss_interval(Agreement(), before, after, target=50.0)
    low, high = binomial_limits(lost, items)
    assert (interval.low, interval.method) == (0.0, "binomial")
    assert (interval.at_least, interval.high) == pytest.approx((100 * low, 100 * high), abs=1e-9)


def test_items_that_settle_an_agreement_do_so_where_no_answer_changes() -> None:
    same = np.ones((20, 1))
    needed = loss_interval(Agreement(), same, same, target=0.5).items_to_settle
    assert needed is not None
    assert 100 * binomial_limits(0, needed)[1] < 0.5 <= 100 * binomial_limits(0, needed - 1)[1]


@pytest.mark.parametrize("metric", [Kl(), Mse(), Sqnr()], ids=lambda metric: metric.name)
@pytest.mark.parametrize("error", [0.0, 1e-3, 0.7])
def test_items_that_are_all_alike_tell_no_spread(metric: Metric, error: float) -> None:
    interval = loss_interval(metric, *of_errors(metric, np.full((30, 1), error)), target=1.0)
    assert (interval.low, interval.high, interval.method, interval.items_to_settle) == (0.0, math.inf, "none", None)
    # 1 - 0.05^(1/30) of all items.
    assert interval.unsure == "30 items that are all alike tell no spread, and up to 9.5% of all items may be otherwise"
    assert interval.verdict(1.0) == "undecided"


def test_one_item_in_many_that_differs_sets_no_upper_limit() -> None:
    errors = np.zeros((40, 1))
    errors[3] = 0.5
    interval = loss_interval(Kl(), np.zeros((40, 1)), errors)
    assert (interval.high, interval.unsure) == (math.inf, "too few of 40 items differ to tell the spread")


def test_noise_far_below_the_ceiling_has_a_limit_of_no_loss() -> None:
    errors = np.random.default_rng(0).uniform(1e-9, 2e-9, (50, 1))
    interval = loss_interval(Sqnr(), *of_errors(Sqnr(), errors), target=0.1)
    assert (interval.low, interval.high, interval.verdict(0.1)) == (0.0, 0.0, "met")


def test_output_in_which_nothing_differs_does_not_widen_the_limit() -> None:
    errors = np.random.default_rng(0).exponential(1, (50, 1))
    alone = loss_interval(Mse(), *of_errors(Mse(), errors))
    beside = loss_interval(Mse(), *of_errors(Mse(), np.concatenate([errors, np.zeros((50, 1))], axis=1)))
    assert alone == beside and math.isfinite(alone.high)


@pytest.mark.parametrize("size", [1e-300, 1e245])
def test_limits_of_sums_whose_squares_leave_float64_are_those_of_small_ones(size: float) -> None:
    errors = np.random.default_rng(0).exponential(1, (50, 1))
    before, after = of_errors(Sqnr(), errors)
    scaled = loss_interval(Sqnr(), before * size, after * size)
    plain = loss_interval(Sqnr(), before, after)
    assert (scaled.high, scaled.at_least) == pytest.approx((plain.high, plain.at_least))


def test_output_whose_items_are_all_alike_tells_no_spread_beside_one_that_does() -> None:
    errors = np.concatenate([np.full((50, 1), 0.5), np.random.default_rng(0).exponential(1, (50, 1))], axis=1)
    assert loss_interval(Mse(), *of_errors(Mse(), errors)).method == "none"


def test_limit_of_several_outputs_is_that_of_the_worst() -> None:
    generator = np.random.default_rng(1)
    small, large = generator.exponential(0.01, (80, 1)), generator.exponential(1, (80, 1))
    alone = loss_interval(Mse(), *of_errors(Mse(), large))
    both = loss_interval(Mse(), *of_errors(Mse(), np.concatenate([small, large], axis=1)))
    assert both.high == pytest.approx(alone.high, rel=0.1)
    assert both.at_least is not None and alone.at_least is not None and both.at_least <= alone.at_least * 1.05


def test_metric_of_the_users_is_resampled_both_ways() -> None:
    class Mine(Kl):
        """The median: no ratio of sums."""

        never_negative = False

        def aggregate(self, scores):
            return float(np.median(scores))

    scores = np.random.default_rng(3).exponential(1.0, (200, 1))
    interval = loss_interval(Mine(), np.zeros((200, 1)), scores)
    assert (interval.method, interval.one_sided) == ("bootstrap", False)
    assert interval.low < np.median(scores) < interval.high
    scores[0] = math.nan
    unknown = loss_interval(Mine(), np.zeros((200, 1)), scores)
    assert (unknown.low, unknown.high) == (-math.inf, math.inf)
    assert unknown.unsure == "resamples of the items give no finite loss"


def test_loss_that_cannot_be_negative_is_above_the_target_where_its_lower_limit_is() -> None:
    interval = Interval(0.0, 9.0, "bootstrap_t", at_least=4.0)
    assert [interval.verdict(target) for target in (9.5, 9.0, 4.5, 4.0, 1.0)] == [
        "met",
        "undecided",
        "undecided",
        "not_met",
        "not_met",
    ]


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
