"""Recall at k: by plain loops over all pairs, ties, classes of one item, draws of those that ask."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.evaluation.metric import ChecksOutputs, KnowsTruth, MoreFigures, Resampled, needs_reference
from runner.evaluation.scores import column
from runner.tasks.embeddings import neighbours
from runner.tasks.embeddings.retrieval import Retrieval


def by_loops(classes, embeddings, k):
    """Return (hits, items that count)."""
    found, count = [], []
    for item, own in enumerate(embeddings):
        others = [other for other in range(len(classes)) if other != item]
        near = {o: own @ embeddings[o] / np.linalg.norm(own) / np.linalg.norm(embeddings[o]) for o in others}
        first = sorted(others, key=lambda other: (-near[other], other))[:k]
        found.append(any(classes[other] == classes[item] for other in first))
        count.append(any(classes[other] == classes[item] for other in others))
    return np.array(found), np.array(count)


def rows(classes, embeddings, metric=None):
    metric = metric or Retrieval()
    return column(
        [metric.score({"o": each[np.newaxis]}, {}, int(c), None) for c, each in zip(classes, embeddings, strict=True)]
    )


def random_items(items, kinds, seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, kinds, items)
    return classes, (rng.normal(size=(kinds, 6))[classes] + rng.normal(size=(items, 6))).astype(np.float32)


@pytest.mark.parametrize(("items", "kinds", "k", "seed"), [(2, 1, 1, 0), (30, 5, 1, 1), (40, 15, 3, 2), (25, 20, 5, 3)])
@pytest.mark.parametrize("at_a_time", [4_000_000, 60])
def test_recall_is_that_of_plain_loops(monkeypatch, items, kinds, k, seed, at_a_time) -> None:
    monkeypatch.setattr(neighbours, "_AT_A_TIME", at_a_time)
    monkeypatch.setattr(neighbours, "_kept", neighbours._Kept())
    classes, embeddings = random_items(items, kinds, seed)
    found, count = by_loops(classes, embeddings.astype(np.float64), k)
    metric = Retrieval(k=k)
    scores = rows(classes, embeddings)
    assert metric.aggregate(scores) == pytest.approx(100 * found[count].sum() / max(count.sum(), 1))
    assert metric.figures(scores) == {"queries": float(count.sum())}


def test_equally_near_items_come_in_their_order() -> None:
    embeddings = np.array([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    # The third item has the second, of another class, at its own place, and so has the second the third.
    assert Retrieval().aggregate(rows([0, 1, 0, 0], embeddings)) == pytest.approx(100 * 2 / 3)
    same = np.ones((3, 2))
    assert Retrieval().aggregate(rows([0, 1, 0], same)) == pytest.approx(50.0)
    assert Retrieval(k=2).aggregate(rows([0, 1, 0], same)) == pytest.approx(100.0)


def test_what_has_no_direction_is_near_nothing_and_finds_nothing() -> None:
    embeddings = np.array([[1.0, 0], [0.9, 0.1], [0, 0], [math.nan, 1], [math.inf, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Retrieval(k=9).aggregate(rows([0] * 5, embeddings)) == pytest.approx(40.0)
        other = column([*rows([0, 0], embeddings[:2]), np.array([0.0, 1, 0, 0])])
        assert Retrieval(k=9).aggregate(other) == pytest.approx(100 * 2 / 3)


def test_alone_in_its_class_an_item_does_not_count() -> None:
    scores = rows([0, 1, 2], np.eye(3))
    assert math.isnan(Retrieval().aggregate(scores)) and Retrieval().loss(scores, scores) == 0.0


def test_row_is_the_class_and_the_embedding_as_float32_has_it() -> None:
    assert Retrieval().score({"o": np.array([[0.1, 1e300]])}, {}, 7, None).tolist() == [
        7.0,
        float(np.float32(0.1)),
        math.inf,
    ]


def test_loss_over_draws_is_of_those_that_ask_among_all_others() -> None:
    classes, before = random_items(30, 8, 4)
    after = before + np.random.default_rng(9).normal(0, 1, before.shape).astype(np.float32)
    metric, scores, changed = Retrieval(), rows(classes, before), rows(classes, after)
    (was, count), (now, _) = (by_loops(classes, each.astype(np.float64), 1) for each in (before, after))
    draws = np.random.default_rng(0).integers(0, 30, (6, 30))
    lost_by = (was & count).astype(int) - (now & count).astype(int)
    expected = [100 * sum(lost_by[item] for item in draw) / sum(count[item] for item in draw) for draw in draws]
    assert metric.resampled_losses(scores, changed, draws) == pytest.approx(expected)
    assert metric.loss(scores, changed) == pytest.approx(100 * lost_by.sum() / count.sum())
    assert not metric.accepts(scores, changed, float(metric.loss(scores, changed)) - 1e-6)
    assert metric.accepts(scores, changed, float(metric.loss(scores, changed)) + 1e-6)


def test_what_the_metric_says_of_itself_and_refuses() -> None:
    metric = Retrieval()
    assert all(isinstance(metric, each) for each in (ChecksOutputs, KnowsTruth, MoreFigures, Resampled))
    assert not needs_reference(metric)
    assert (
        metric.why_not(3) is None and metric.why_not("x") == "a class an item (dataset=image_folder, class_tree, npz …)"
    )
    two = {"a": np.zeros((1, 4)), "b": np.zeros((1, 1))}
    Retrieval(output="a").check_outputs(two, 0)
    for made, outputs, message in (
        (
            metric,
            two,
            r"metric.output: expected the output that holds the embedding, got none; the model has 'a' \[1, 4\], 'b'",
        ),
        (Retrieval(output="c"), two, "got 'c'; the model"),
        (Retrieval(output="b"), two, r"the output 'b' \[1, 1\] has 1 number an item; expected an embedding"),
    ):
        with pytest.raises(ConfigError, match=message):
            made.check_outputs(outputs, 0)
    with pytest.raises(ConfigError, match=r"metric\.k: expected 1 or more, got 0"):
        Retrieval(k=0)
