"""Distances against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.likeness import sqnr_of
from runner.evaluation.metric import Metric, below_target
from runner.evaluation.outputs import ClassScores

LOGITS = ClassScores("y", 3, "logits")
SHARES = ClassScores("y", 3, "probabilities")


def out(*values: float) -> dict[str, np.ndarray]:
    return {"y": np.array([values], np.float32)}


def scored(metric: Metric, pairs: list[tuple[dict, dict]], classes: ClassScores | None = None) -> np.ndarray:
    """Return the scores of (quantized, float) pairs."""
    return np.array([metric.score(q, f, None, classes) for q, f in pairs], np.float64)


def test_kl_of_two_distributions_is_the_sum() -> None:
    # Powers of two: exact in float32.
    pairs = [(out(0.25, 0.25, 0.5), out(0.5, 0.25, 0.25))]
    assert scored(Kl(), pairs, SHARES)[0, 0] == pytest.approx(0.25 * math.log(2), abs=1e-12)


def test_kl_of_logits_goes_through_a_softmax_in_float64() -> None:
    f, q = (1.0, 2.0, 4.0), (1.5, 2.0, 3.0)
    p = [math.exp(v) / sum(map(math.exp, f)) for v in f]
    r = [math.exp(v) / sum(map(math.exp, q)) for v in q]
    expected = sum(a * math.log(a / b) for a, b in zip(p, r, strict=True))
    assert scored(Kl(), [(out(*q), out(*f))], LOGITS)[0, 0] == pytest.approx(expected, rel=1e-12)


def test_kl_of_huge_logits_stays_finite() -> None:
    # The float model is sure of class 0, the quantized one of class 1: log(1 / 1e-12) nats.
    score = scored(Kl(), [(out(-9e3, 9e4, 0), out(9e4, -9e3, 0))], LOGITS)[0, 0]
    assert score == pytest.approx(12 * math.log(10), rel=1e-6)


def test_kl_clamps_a_probability_of_zero() -> None:
    score = scored(Kl(), [(out(0, 1, 0), out(1, 0, 0))], SHARES)[0, 0]
    assert score == pytest.approx(12 * math.log(10), rel=1e-6)


def test_kl_renormalises_rows_that_sum_to_nearly_one() -> None:
    score = scored(Kl(), [(out(0.2502, 0.5004, 0.2502), out(0.25, 0.5, 0.25))], SHARES)[0, 0]
    assert score == pytest.approx(0.0, abs=1e-9)


def test_kl_is_the_mean_over_items() -> None:
    pairs = [(out(0.25, 0.25, 0.5), out(0.5, 0.25, 0.25)), (out(0.5, 0.25, 0.25), out(0.5, 0.25, 0.25))]
    metric = Kl()
    scores = scored(metric, pairs, SHARES)
    assert metric.aggregate(scores) == pytest.approx(0.125 * math.log(2), abs=1e-12)
    assert metric.loss(np.zeros((2, 1)), scores) == metric.aggregate(scores)


@pytest.mark.parametrize("db", [0.0, 10.0, 37.5, 59.0])
def test_sqnr_is_ten_log10_of_signal_over_noise_and_the_loss_what_is_missing(db: float) -> None:
    f = np.array([3.0, 4.0])
    q = f + np.array([0.0, 5.0 * 10 ** (-db / 20)])
    metric = Sqnr()
    scores = scored(metric, [({"y": q}, {"y": f})])
    assert metric.aggregate(scores) == pytest.approx(db, abs=1e-9)
    assert metric.loss(scored(metric, [({"y": f}, {"y": f})]), scores) == pytest.approx(60 - db, abs=1e-9)


def test_sqnr_sums_signal_and_noise_over_items_before_dividing() -> None:
    pairs = [({"y": np.array([10.0])}, {"y": np.array([9.0])}), ({"y": np.array([1.0])}, {"y": np.array([2.0])})]
    assert Sqnr().aggregate(scored(Sqnr(), pairs)) == pytest.approx(10 * math.log10((81 + 4) / (1 + 1)))


@pytest.mark.parametrize(("ceiling", "value"), [(60.0, 60.0), (30.0, 30.0), (100.0, 80.0)])
def test_sqnr_counts_nothing_above_its_ceiling(ceiling: float, value: float) -> None:
    metric = Sqnr(ceiling_db=ceiling)
    scores = scored(metric, [({"y": np.array([1.0 + 1e-4])}, {"y": np.array([1.0])})])
    assert metric.aggregate(scores) == pytest.approx(value, abs=1e-6)
    assert metric.loss(scores, scores) == pytest.approx(ceiling - value, abs=1e-6)


def test_sqnr_of_one_array_is_infinite_for_identical_and_zero_without_signal() -> None:
    assert sqnr_of(np.ones(3), np.ones(3)) == math.inf
    assert sqnr_of(np.zeros(3), np.zeros(3)) == math.inf
    assert sqnr_of(np.ones(3), np.zeros(3)) == 0.0


def test_mse_is_the_mean_over_all_values_of_all_items() -> None:
    pairs = [
        ({"y": np.array([1.0, 2.0, 3.0])}, {"y": np.array([1.0, 4.0, 3.0])}),
        ({"y": np.array([0.0])}, {"y": np.array([1.0])}),
    ]
    assert Mse().aggregate(scored(Mse(), pairs)) == (4 + 1) / 4


@pytest.mark.parametrize("metric", [Mse(output="a"), Sqnr(output="a")], ids=["mse", "sqnr"])
def test_named_output_alone_is_judged(metric: Metric) -> None:
    f = {"a": np.array([2.0]), "b": np.array([1.0])}
    q = {"a": np.array([2.0]), "b": np.array([-5.0])}
    assert metric.loss(scored(metric, [(f, f)]), scored(metric, [(q, f)])) == 0.0


def test_worst_output_decides_however_little_energy_it_has() -> None:
    generator = np.random.default_rng(2)
    # Boxes in pixels to a tenth, scores to a tenth too: pooled by energy more than 60 dB.
    boxes, scores = generator.normal(0, 300, (20, 40)), generator.uniform(0, 1, (20, 8))
    off = boxes + generator.normal(0, 0.1, boxes.shape), scores + generator.normal(0, 0.1, scores.shape)
    pairs = [
        ({"boxes": a, "scores": b}, {"boxes": c, "scores": d}) for a, b, c, d in zip(*off, boxes, scores, strict=True)
    ]
    noise = [np.sum((a - f) ** 2) for a, f in zip(off, (boxes, scores), strict=True)]
    db = [10 * math.log10(np.sum(f**2) / n) for f, n in zip((boxes, scores), noise, strict=True)]
    assert 10 * math.log10((np.sum(boxes**2) + np.sum(scores**2)) / sum(noise)) > 60 < db[0] and db[1] < 17
    assert Sqnr().aggregate(scored(Sqnr(), pairs)) == pytest.approx(db[1], abs=1e-9)
    assert [sums.sqnr_db for sums in Sqnr().of_outputs(scored(Sqnr(), pairs))] == pytest.approx(db, abs=1e-9)
    assert Sqnr(output="boxes").aggregate(scored(Sqnr(output="boxes"), pairs)) == 60.0
    mse = [noise[0] / boxes.size, noise[1] / scores.size]
    assert Mse().aggregate(scored(Mse(), pairs)) == pytest.approx(max(mse), rel=1e-12)
    assert [sums.mse for sums in Sqnr().of_outputs(scored(Sqnr(), pairs))] == pytest.approx(mse, rel=1e-12)


def test_worst_output_is_the_worst_over_all_items_not_in_any_one() -> None:
    # In each item one output is 0 dB, over both items each has 10 log10((1 + 99) / 1) = 20 dB.
    one, other = np.array([1.0]), np.array([math.sqrt(99.0)])
    f = [{"a": one, "b": other}, {"a": other, "b": one}]
    q = [{"a": 2 * one, "b": other}, {"a": other, "b": 2 * one}]
    metric = Sqnr()
    assert metric.aggregate(scored(metric, list(zip(q, f, strict=True)))) == pytest.approx(20.0)


def test_output_without_signal_counts_as_nothing_wrong_or_all_wrong() -> None:
    f = {"a": np.ones(4), "silent": np.zeros(3)}
    same, noisy = dict(f), {**f, "silent": np.array([0.0, 1e-6, 0.0])}
    assert Sqnr().aggregate(scored(Sqnr(), [(same, f)])) == 60.0
    assert Sqnr().aggregate(scored(Sqnr(), [(noisy, f)])) == 0.0
    assert Mse().aggregate(scored(Mse(), [(noisy, f)])) == pytest.approx(1e-12 / 3)
    constant = {"a": np.full(4, 5.0)}
    assert Sqnr().aggregate(scored(Sqnr(), [({"a": np.full(4, 5.5)}, constant)])) == pytest.approx(20.0)


def test_labels_beside_amounts_count_by_equality() -> None:
    f = {"boxes": np.array([100.0, 200.0]), "labels": np.array([3, 4, 5, 70000])}
    q = {"boxes": np.array([100.0, 200.0]), "labels": np.array([3, 4, 5, 1])}
    assert Sqnr().aggregate(scored(Sqnr(), [(q, f)])) == pytest.approx(10 * math.log10(4))
    assert Mse().aggregate(scored(Mse(), [(q, f)])) == 0.25


@pytest.mark.parametrize(
    ("metric", "classes"), [(Kl(), LOGITS), (Kl(), SHARES), (Sqnr(), None), (Mse(), None)], ids=lambda v: str(v)[:40]
)
def test_identical_outputs_have_no_loss(metric: Metric, classes: ClassScores | None) -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(0.1, 1, (20, 3))
    rows /= rows.sum(axis=1, keepdims=True)
    scores = scored(metric, [(out(*r), out(*r)) for r in rows], classes)
    assert metric.loss(scores, scores) == 0.0
    assert metric.accepts(scores, scores, 1e-6) and not metric.accepts(scores, scores, 0.0)


@pytest.mark.parametrize("metric", [Kl(), Sqnr(), Mse()], ids=["kl", "sqnr", "mse"])
def test_more_noise_is_more_loss(metric: Metric) -> None:
    rng = np.random.default_rng(1)
    f, noise = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    scores = [
        scored(metric, [(out(*(a + s * b)), out(*a)) for a, b in zip(f, noise, strict=True)], LOGITS)
        for s in (0, 0.1, 0.2, 0.4)
    ]
    losses = [metric.loss(scores[0], s) for s in scores]
    assert losses == sorted(losses) and losses[0] == 0 < losses[1]


@pytest.mark.parametrize(
    ("loss", "target", "accepted"),
    [
        (0.3, 0.3, False),
        (0.1 + 0.2, 0.3, False),
        (0.3 - 1e-12, 0.3, False),
        (0.3 - 1e-8, 0.3, True),
        (0.0, 0.0, False),
        (-1e-12, 0.0, False),
        (math.nan, 1.0, False),
        (math.inf, 1.0, False),
    ],
)
def test_loss_is_rounded_to_a_billionth_and_must_stay_below(loss: float, target: float, accepted: bool) -> None:
    assert below_target(loss, target) is accepted
