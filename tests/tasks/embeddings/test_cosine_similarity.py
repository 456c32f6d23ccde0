"""Cosine similarity: angles that are known, what has no direction, several outputs."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from runner.evaluation.metric import needs_reference
from runner.evaluation.scores import column
from runner.evaluation.uncertainty import loss_interval
from runner.tasks.embeddings.cosine_similarity import CosineSimilarity

METRIC = CosineSimilarity()


def turned(output, reference):
    (value,) = METRIC.score({"o": np.asarray(output)}, {"o": np.asarray(reference)}, None, None)
    return value


@pytest.mark.parametrize("degrees", [0.001, 1, 8, 45, 90, 135, 180])
def test_angles_that_are_known(degrees) -> None:
    angle = math.radians(degrees)
    own, other = np.array([[3.0, 0.0]]), 0.5 * np.array([[math.cos(angle), math.sin(angle)]])
    assert turned(other, own) == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-9)


def test_like_numpy_on_random_vectors() -> None:
    for seed in range(5):
        u, v = np.random.default_rng(seed).normal(size=(2, 1, 4, 64)).astype(np.float32)
        a, b = u.astype(np.float64).ravel(), v.astype(np.float64).ravel()
        assert turned(u, v) == pytest.approx(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-12)


def test_what_has_no_direction_is_at_a_right_angle_unless_equal() -> None:
    nan, inf = math.nan, math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [turned(each, each) for each in ([0.0, 0], [nan, 1], [inf, 1], [])] == [0.0] * 4
        assert turned([0.0, 0], [1.0, 0]) == turned([1.0, 0], [0.0, 0]) == turned([nan, 1], [1.0, 1]) == 1.0
        assert turned([inf, 1], [1.0, 1]) == turned([1.0, 0, 0], [1.0, 0]) == 1.0
        assert turned([1e300, 1e300], [1e-300, 1e-300]) == pytest.approx(0, abs=1e-15)


def test_worst_output_decides_and_one_may_be_named() -> None:
    good, bad = np.array([[1.0, 0]]), np.array([[0.0, 1]])
    reference = {"a": good, "b": good}
    rows = column([METRIC.score({"a": good, "b": each}, reference, None, None) for each in (good, bad, good, good)])
    own = column([METRIC.score(reference, reference, None, None)] * 4)
    assert METRIC.aggregate(own) == 100.0 and METRIC.loss(own, own) == 0.0
    assert METRIC.aggregate(rows) == 75.0 and METRIC.loss(own, rows) == 25.0 == METRIC.loss_at(0.25)
    assert METRIC.accepts(own, rows, 25.001) and not METRIC.accepts(own, rows, 25.0)
    assert CosineSimilarity(output="a").score({"a": good, "b": bad}, reference, None, None) == (0.0,)


def test_loss_has_an_upper_limit_as_no_model_does_better() -> None:
    rows = np.random.default_rng(0).exponential(0.01, (60, 1))
    interval = loss_interval(METRIC, np.zeros_like(rows), rows)
    assert METRIC.never_negative and not METRIC.needs_labels and needs_reference(METRIC)
    assert interval.method == "bootstrap_t" and interval.high > METRIC.loss(np.zeros_like(rows), rows)
