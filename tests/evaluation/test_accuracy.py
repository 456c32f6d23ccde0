"""Counted metrics and their acceptance on whole items."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from runner.evaluation.accuracy import Agreement, TiedAnswers, TopK
from runner.evaluation.metric import hits_below_target
from runner.evaluation.outputs import ClassScores

FIVE = ClassScores("y", 5, "logits")


def row(*values: float) -> dict[str, np.ndarray]:
    return {"y": np.array([values], np.float32)}


@pytest.mark.parametrize(
    ("scores", "label", "k", "hit"),
    [
        pytest.param((0, 3, 1, 2, -1), 1, 1, 1, id="highest"),
        pytest.param((0, 3, 1, 2, -1), 3, 1, 0, id="second"),
        pytest.param((0, 3, 1, 2, -1), 3, 2, 1, id="second of two"),
        pytest.param((2, 2, 1, 0, 0), 0, 1, 1, id="tie: the smaller class number is first"),
        pytest.param((2, 2, 1, 0, 0), 1, 1, 0, id="tie: the larger class number is second"),
        pytest.param((2, 2, 1, 0, 0), 1, 2, 1, id="tie within two"),
        pytest.param((1, 1, 1, 1, 1), 3, 3, 0, id="all equal: fourth of three"),
        pytest.param((1, 1, 1, 1, 1), 2, 3, 1, id="all equal: third of three"),
        pytest.param((0, 1, 2, 3, 4), 0, 5, 1, id="top 5 of 5 classes"),
        pytest.param((np.nan, 1, 2, 3, 4), 0, 1, 0, id="not a number is no hit"),
        pytest.param((np.nan, np.nan, np.nan, np.nan, np.nan), 0, 1, 0, id="nothing but not a number"),
        pytest.param((np.nan, 1, 2, 3, 4), 4, 1, 0, id="not a number beside it"),
    ],
)
def test_label_among_the_k_highest_scores_is_a_hit(scores: tuple[float, ...], label: int, k: int, hit: int) -> None:
    assert TopK(k).score(row(*scores), row(*scores), label, FIVE) == (float(hit),)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_is_a_stable_sort_by_descending_score(k: int) -> None:
    for scores in itertools.product([0.0, 1.0, 2.0], repeat=5):
        order = sorted(range(5), key=lambda c: -scores[c])
        for label in range(5):
            assert TopK(k).score(row(*scores), {}, label, FIVE) == (float(label in order[:k]),)


def test_scores_of_one_pixel_count_as_a_row() -> None:
    outputs = {"y": np.array([0, 1, 5, 2, 3], np.float32).reshape(1, 5, 1, 1)}
    assert TopK().score(outputs, outputs, 2, FIVE) == (1.0,)


@pytest.mark.parametrize("k", [1, 5])
def test_names_and_units_are_for_people(k: int) -> None:
    metric = TopK(k)
    assert (metric.name, metric.unit) == (f"top{k}", "percentage points")
    assert (metric.needs_labels, metric.needs_classes) == (True, True)
    assert (Agreement().needs_labels, Agreement().needs_classes) == (False, False)


def test_aggregate_is_the_share_of_hits_in_percent_and_loss_its_difference() -> None:
    before, after = np.array([[1.0], [1.0], [1.0], [0.0]]), np.array([[1.0], [0.0], [0.0], [1.0]])
    metric = TopK()
    assert (metric.aggregate(before), metric.aggregate(after)) == (75.0, 50.0)
    assert metric.loss(before, after) == 25.0
    assert metric.loss(after, before) == -25.0
    assert metric.loss(before, before) == 0.0


@pytest.mark.parametrize(
    ("quantized", "agrees"),
    [((0.1, 0.9, 0.5, 0, 0), 1), ((0.9, 0.1, 0.5, 0, 0), 0), ((1, 1, 1, 1, 1), 0)],
    ids=["same class", "another class", "first among equals is another"],
)
def test_classifiers_agree_on_the_class(quantized: tuple[float, ...], agrees: int) -> None:
    assert Agreement().score(row(*quantized), row(0, 1, 0, 0, 0), None, FIVE) == (float(agrees),)


@pytest.mark.parametrize(("noise_db", "agrees"), [(19.9, 0), (20.1, 1), (60.0, 1)])
@pytest.mark.parametrize("minimum", [20.0, 40.0])
def test_other_outputs_agree_within_an_sqnr(noise_db: float, agrees: int, minimum: float) -> None:
    f = np.array([3.0, -4.0, 0.0])
    noise = 5.0 * 10 ** (-(noise_db + minimum - 20.0) / 20)  # |f| is 5
    quantized = {"y": f + np.array([0.0, 0.0, noise])}
    assert Agreement(sqnr_min=minimum).score(quantized, {"y": f}, None, None) == (float(agrees),)


def test_every_output_has_to_agree_unless_one_is_named() -> None:
    f = {"boxes": np.ones(4), "scores": np.ones(4)}
    q = {"boxes": np.ones(4), "scores": np.zeros(4)}
    assert Agreement().score(q, f, None, None) == (0.0,)
    assert Agreement(output="boxes").score(q, f, None, None) == (1.0,)
    assert Agreement(output="scores").score(q, f, None, None) == (0.0,)


@pytest.mark.parametrize(("quantized", "agrees"), [(0.0, 1), (1e-3, 0)])
def test_output_of_zeros_agrees_with_zeros_only(quantized: float, agrees: int) -> None:
    assert Agreement().score({"y": np.full(3, quantized)}, {"y": np.zeros(3)}, None, None) == (float(agrees),)


@pytest.mark.parametrize(
    ("lost", "items", "target", "accepted"),
    [
        pytest.param(1, 1000, 0.2, True, id="0.2 over 1000 allows one"),
        pytest.param(2, 1000, 0.2, False, id="0.2 over 1000 refuses two"),
        pytest.param(3, 1000, 0.3, False, id="0.3 over 1000 refuses three"),
        pytest.param(3, 1000, 0.1 + 0.2, True, id="a target a hair above 0.3 allows three"),
        pytest.param(0, 1000, 0.0, False, id="0 refuses even no loss"),
        pytest.param(-1, 1000, 0.0, True, id="0 allows a gain"),
        pytest.param(0, 7, 1e-9, True, id="any target above 0 allows no loss"),
        pytest.param(29, 100, 29.0, False, id="29 percent"),
        pytest.param(7, 1000, 0.7, False, id="0.7 over 1000 refuses seven"),
        pytest.param(1, 3, 33.3333, False, id="a third is more than 33.3333"),
        pytest.param(1, 3, 33.3334, True, id="a third is less than 33.3334"),
    ],
)
def test_acceptance_is_decided_on_integers(lost: int, items: int, target: float, accepted: bool) -> None:
    before, after = np.zeros((items, 1)), np.zeros((items, 1))
    before[: max(lost, 0)], after[: max(-lost, 0)] = 1, 1
    assert TopK().accepts(before, after, target) is accepted
    assert Agreement().accepts(before, after, target) is accepted


@pytest.mark.parametrize("items", [3, 7, 100, 160, 1000])
def test_acceptance_is_the_rational_comparison_of_the_target_as_written(items: int) -> None:
    targets = ["0.1", "0.2", "0.3", "0.5", "0.6", "0.7", "1", "1.25", "2.5", "28.9", "29", "33.3"]
    for text, float_hits in itertools.product(targets, range(0, items + 1, max(1, items // 7))):
        for hits in range(max(0, float_hits - 40), float_hits + 1):
            expected = Fraction(100 * (float_hits - hits), items) < Fraction(text)
            assert hits_below_target(float_hits, hits, items, float(text)) is expected


def test_floating_point_difference_of_percentages_would_have_decided_wrongly() -> None:
    # 71.8 % - 71.5 % is 0.2999999999999972 in floating point; three of 1000 are not below 0.3.
    assert 71.8 - 71.5 < 0.3
    assert hits_below_target(718, 715, 1000, 0.3) is False


@pytest.mark.parametrize("k", [1, 2, 5])
def test_lead_is_above_zero_for_a_hit_and_below_for_a_miss(k: int) -> None:
    for scores in itertools.product([0.0, 1.0, 2.5], repeat=5):
        for label in range(5):
            lead, (hit,) = (of(row(*scores), {}, label, FIVE) for of in (TopK(k).lead, TopK(k).score))
            others = sorted((s for c, s in enumerate(scores) if c != label), reverse=True)
            assert lead == (scores[label] - others[k - 1] if k < 5 else np.inf)
            assert lead == 0 or (lead > 0) == (hit == 1)


def test_lead_of_probabilities_is_that_of_their_logits() -> None:
    logits = np.array([0.5, 3.0, 1.0, 2.0, -1.0])
    shares = np.exp(logits) / np.exp(logits).sum()
    probable = ClassScores("y", 5, "probabilities")
    assert TopK().lead(row(*shares), {}, 1, probable) == pytest.approx(1.0, abs=1e-6)
    assert TopK(3).lead(row(*shares), {}, 0, probable) == pytest.approx(-0.5, abs=1e-6)


def test_lead_of_agreement_is_that_of_the_float_models_class_or_in_db() -> None:
    reference = row(0, 3, 1, 2, -1)
    assert Agreement().lead(row(0, 1, 1.5, 2, -1), reference, None, FIVE) == -1.0
    assert Agreement().lead(reference, reference, None, FIVE) == 1.0
    plain, off = {"y": np.array([[3.0, 4.0]])}, {"y": np.array([[3.0, 4.5]])}
    assert Agreement(sqnr_min=15).lead(off, plain, None, None) == pytest.approx(20 - 15)  # 25 / 0.25
    assert Agreement(sqnr_min=15).lead(plain, plain, None, None) == np.inf


def test_lead_of_scores_that_are_infinite_is_no_number_and_no_warning() -> None:
    assert np.isnan(TopK().lead(row(np.inf, np.inf, 0, 0, 0), {}, 0, FIVE))


@pytest.mark.parametrize(
    ("reference", "scores", "tied"),
    [
        ([3, 3, 1], [1, 2, 0], 1.0),  # the source gives both its highest score
        ([3, 3, 1], [2, 1, 0], 0.0),  # the same answer
        ([3, 3, 1], [0, 1, 2], 0.0),  # an answer that ties with neither
        ([3, 2, 2], [1, 2, 0], 0.0),  # a tie below the best
        ([3, 2, 1], [1, 2, 0], 0.0),
    ],
)
def test_answer_is_tied_where_the_float_model_scores_both_the_same(
    reference: list[float], scores: list[float], tied: float
) -> None:
    before, after = ({"y": np.array([row], np.float32)} for row in (reference, scores))
    assert TiedAnswers().score(after, before, None, ClassScores("y", 3, "logits")) == (tied,)
