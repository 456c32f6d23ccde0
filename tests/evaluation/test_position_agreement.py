"""Agreement position by position, against counts by hand, and which outputs hold classes along their last axis."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.evaluation.output_facts import facts_of
from runner.evaluation.position_agreement import PositionAgreement, class_positions
from runner.evaluation.scores import column

GENERATOR = np.random.default_rng(0)


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def text(positions: int, classes: int = 7) -> NDArray[np.float32]:
    return softmax(GENERATOR.normal(0, 3, (1, positions, classes)))


def flipped(output: NDArray[Any], *positions: int) -> NDArray[Any]:
    """Return an output with another class at some positions."""
    changed = output.copy()
    for position in positions:
        changed[0, position] = np.roll(changed[0, position], 1)
    return changed


def test_share_is_of_positions_over_items_that_have_more_or_fewer() -> None:
    metric = PositionAgreement("y")
    floats = [text(4), text(11), text(25)]
    quantized = [flipped(floats[0], 1), floats[1], flipped(floats[2], 0, 7, 24)]
    scores = column([metric.score({"y": q}, {"y": f}, None, None) for q, f in zip(quantized, floats, strict=True)])
    before = column([metric.score({"y": f}, {"y": f}, None, None) for f in floats])
    assert scores.tolist() == [[1, 4], [0, 11], [3, 25]] and before.tolist() == [[0, 4], [0, 11], [0, 25]]
    assert metric.aggregate(before) == 100.0 and metric.aggregate(scores) == pytest.approx(90.0)
    assert metric.loss(before, scores) == pytest.approx(10.0)
    # 4 of 40, and no rounding: 10 is not below 10.
    assert not metric.accepts(before, scores, 10.0) and metric.accepts(before, scores, 10.000001)


@pytest.mark.parametrize("positions", [3, 7, 13, 997])
def test_acceptance_is_decided_on_whole_positions(positions: int) -> None:
    metric = PositionAgreement("y")
    for wrong in range(0, positions, max(1, positions // 7)):
        scores = np.array([[float(wrong), float(positions)]])
        for target in ("0", "0.1", "0.3", "14.3", "33.3", "100"):
            expected = Fraction(100 * wrong, positions) < Fraction(target)
            assert metric.accepts(scores * [0, 1], scores, float(target)) == expected


def test_of_another_shape_every_position_is_wrong_and_nan_is_no_class() -> None:
    metric, f = PositionAgreement("y"), text(5)
    assert metric.score({"y": text(6)}, {"y": f}, None, None) == (5.0, 5.0)
    assert metric.score({"y": f[..., :-1]}, {"y": f}, None, None) == (5.0, 5.0)
    broken = f.copy()
    broken[0, 2, 3] = np.nan
    assert metric.score({"y": broken}, {"y": f}, None, None) == (1.0, 5.0)
    assert metric.score({"y": broken}, {"y": broken}, None, None) == (0.0, 5.0)
    assert metric.score({"y": f[:, :0]}, {"y": f[:, :0]}, None, None) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("items", "found"),
    [
        pytest.param([text(40, 6625)], "y", id="text"),
        pytest.param([text(1), text(9), text(4)], "y", id="several widths"),
        pytest.param([softmax(GENERATOR.normal(size=(1, 8, 8, 21)))], "y", id="a map of classes, channels last"),
        pytest.param([softmax(GENERATOR.normal(size=(12, 5)))], "y", id="positions without a batch"),
        pytest.param([text(4).astype(np.float16)], "y", id="half"),
        pytest.param([text(1), text(1)], None, id="one row an item is a classifier's"),
        pytest.param([GENERATOR.uniform(0, 1, (1, 3549, 85)).astype(np.float32)], None, id="boxes with scores"),
        pytest.param([GENERATOR.normal(size=(1, 40, 100))], None, id="logits, features"),
        pytest.param([text(5), text(5) * 1.01], None, id="not for every item"),
        pytest.param([text(5, 4), text(5, 6)], None, id="several numbers of classes"),
        pytest.param([softmax(GENERATOR.normal(size=(1, 8, 8, 21))).transpose(0, 3, 1, 2)], None, id="classes first"),
        pytest.param([np.ones((1, 9, 1), np.float32)], None, id="one class"),
        pytest.param([np.eye(4, dtype=np.int64)[np.newaxis]], None, id="whole numbers"),
    ],
)
def test_classes_are_seen_by_rows_that_are_distributions(items: list[NDArray[Any]], found: str | None) -> None:
    assert class_positions([facts_of({"y": item}) for item in items]) == found


def test_of_several_outputs_one_has_to_be_named_and_logits_have_to_be_said() -> None:
    outputs = [{"boxes": GENERATOR.normal(size=(1, 9, 4)), "scores": text(9, 2)}]
    assert class_positions(list(map(facts_of, outputs))) is None
    assert class_positions(list(map(facts_of, outputs)), output="scores") == "scores"
    assert class_positions(list(map(facts_of, outputs)), output="boxes") is None
    logits = [{"y": GENERATOR.normal(size=(1, 9, 30))}]
    assert (
        class_positions(list(map(facts_of, logits))) is None
        and class_positions(list(map(facts_of, logits)), kind="logits") == "y"
    )
    # Which axis of a map holds the classes is not said.
    assert class_positions([facts_of({"y": GENERATOR.normal(size=(1, 21, 9, 9))})], kind="logits") is None
