"""When outputs are class scores, and which kind."""

from __future__ import annotations

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.evaluation.output_facts import class_scores, facts_of
from runner.evaluation.outputs import ClassScores

SHARES = {"y": np.array([[0.2, 0.3, 0.5]], np.float32)}
LOGITS = {"y": np.array([[-2.0, 3.0, 0.5]], np.float32)}
LABELLED, UNLABELLED = [1], [None]


@pytest.mark.parametrize(
    ("rows", "labels", "kind", "expected"),
    [
        pytest.param([SHARES], LABELLED, "auto", "probabilities", id="distributions"),
        pytest.param([SHARES], UNLABELLED, "auto", "probabilities", id="distributions need no labels"),
        pytest.param([LOGITS], LABELLED, "auto", "logits", id="labelled data"),
        pytest.param([LOGITS], UNLABELLED, "auto", None, id="unlabelled numbers"),
        pytest.param([LOGITS], UNLABELLED, "logits", "logits", id="logits by option"),
        pytest.param([SHARES], LABELLED, "logits", "logits", id="logits by option although distributions"),
        pytest.param([LOGITS], LABELLED, "probabilities", "probabilities", id="probabilities by option"),
        pytest.param([SHARES, LOGITS], [0, 1], "auto", "logits", id="one row is no distribution"),
        pytest.param([SHARES, LOGITS], [0, None], "auto", None, id="one item has no label"),
    ],
)
def test_kind_follows_rows_labels_and_option(rows: list, labels: list, kind: str, expected: str | None) -> None:
    found = class_scores(list(map(facts_of, rows)), labels, kind=kind)
    assert found == (None if expected is None else ClassScores("y", 3, expected))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ([0.5, 0.4991], "probabilities"),
        ([0.5, 0.5009], "probabilities"),
        ([0.5, 0.4985], "logits"),
        ([0.5, 0.5015], "logits"),
        ([1.1, -0.1], "logits"),
        ([0.0, 1.0], "probabilities"),
    ],
    ids=str,
)
def test_distribution_is_non_negative_and_sums_to_one_within_a_thousandth(row: list[float], kind: str) -> None:
    assert class_scores([facts_of({"y": np.array([row])})], [0]).kind == kind


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        ((1, 4), 4),
        ((1, 4, 1, 1), 4),
        ((1, 1, 4), 4),
        ((1, 2, 2), None),
        ((1, 1), None),
        ((4,), None),
        ((1, 4, 4, 4), None),
    ],
    ids=str,
)
def test_one_row_an_item_is_a_classifiers_output(shape: tuple[int, ...], classes: int | None) -> None:
    found = class_scores([facts_of({"y": np.ones(shape)})], [0])
    assert (None if found is None else found.classes) == classes


def test_of_several_outputs_one_has_to_be_named() -> None:
    rows = [{"boxes": np.ones((1, 7, 4)), "scores": np.array([[0.5, 0.5]])}]
    assert class_scores(list(map(facts_of, rows)), [0]) is None
    assert class_scores(list(map(facts_of, rows)), [0], output="scores") == ClassScores("scores", 2, "probabilities")
    assert class_scores(list(map(facts_of, rows)), [0], output="boxes") is None


def test_unknown_output_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError) as error:
        class_scores([facts_of({"boxes": np.ones(1), "scores": np.ones(1)})], [0], output="score")
    assert str(error.value) == "metric.output: the model has no output 'score'; it has boxes, scores."


def test_probabilities_are_a_distribution_in_float64() -> None:
    for kind, outputs in (("logits", LOGITS), ("probabilities", SHARES)):
        p = ClassScores("y", 3, kind).probabilities(outputs)
        assert p.dtype == np.float64 and p.min() > 0 and p.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(ClassScores("y", 3, "probabilities").probabilities(SHARES), SHARES["y"][0], rtol=1e-6)


def test_answer_is_the_first_of_the_highest() -> None:
    assert ClassScores("y", 4, "logits").answer({"y": np.array([[0.0, 2.0, 2.0, 1.0]])}) == 1
