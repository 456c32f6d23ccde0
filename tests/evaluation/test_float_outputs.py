"""Outputs that are too large to be kept give the same figures as those that are, and only so many bytes of them stay."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.scores import by_item
from tests.data import Items, normal_items

ITEMS, CLASSES = 40, 6
X = normal_items(ITEMS, CLASSES)
LABELS = np.random.default_rng(3).integers(CLASSES, size=ITEMS)
BYTES = 4 * CLASSES
FLOAT = '<ir_version: 8, opset_import: ["": 17]> g (float[N,6] x) => (float[N,6] y) { y = Softmax <axis = -1> (x) }'
OTHER = FLOAT.replace("y = Softmax <axis = -1> (x)", "s = Sin (x) y = Softmax <axis = -1> (s)")
LOGITS = FLOAT.replace("y = Softmax <axis = -1> (x)", "y = Neg (x)")


def graph(text: str) -> ir.Model:
    return ir.from_onnx_text(text)


def evaluator(metrics: list[Metric], most_bytes: int, *, callers: int = 2, labels: object = LABELS) -> Evaluator:
    items = Subset.whole(Items(X, labels))  # type: ignore[arg-type]
    return Evaluator(Engine(callers), items, metrics, most_bytes=most_bytes)


@pytest.mark.parametrize("most", [1, 3 * BYTES, 39 * BYTES, 40 * BYTES], ids=["one", "three", "all but one", "all"])
@pytest.mark.parametrize("model", [FLOAT, LOGITS], ids=["probabilities", "logits"])
def test_scores_do_not_depend_on_what_is_kept(model: str, most: int) -> None:
    metrics = [TopK(), Agreement(), Kl(), Sqnr(), Mse()]
    bounded, whole = evaluator(metrics, most), evaluator(metrics, 10**9)
    scorers = [each.against(each.outputs(graph(model))) for each in (bounded, whole)]
    assert scorers[1].reference.complete and scorers[0].reference.complete == (most >= ITEMS * BYTES)
    assert scorers[0].classes == scorers[1].classes and scorers[0].outputs == scorers[1].outputs
    own = [by_item(scorer.float_scores) for scorer in scorers]
    others = [by_item(scorer.evaluate(graph(OTHER))) for scorer in scorers]
    assert own[0] == own[1] and others[0] == others[1] != own[0]


def test_no_more_bytes_stay_than_allowed_and_what_was_wanted_last_is_not_made_again() -> None:
    bounded = evaluator([Sqnr()], 5 * BYTES, callers=1)
    scorer = bounded.against(bounded.outputs(graph(FLOAT)))
    kept = scorer.reference.kept
    assert len(kept.known) == 5
    made: list[int] = []
    runs, of = kept.runs, kept.runs.of
    runs.of = lambda item: made.append(item.index) or of(item)  # type: ignore[method-assign,func-returns-value]
    for _ in range(2):
        scorer.evaluate_some(graph(OTHER), [7, 20, 33])
    assert made == [7, 20, 33]
    assert sum(array.nbytes for item in kept._kept.values() for array in item.values()) <= 5 * BYTES


def test_the_float_model_is_looked_at_once_where_the_first_items_tell_what_the_answers_are() -> None:
    bounded = evaluator([TopK(), Sqnr()], 2 * BYTES, callers=1)
    scorer = bounded.against(bounded.outputs(graph(FLOAT)))
    assert (bounded.ledger.full, bounded.ledger.items) == (1, ITEMS)
    assert scorer.float_scores.scores["top1"].shape == (ITEMS, 1) and bounded.ledger.items == ITEMS


def test_what_a_later_item_tells_otherwise_counts() -> None:
    """The first items' rows sum to 1 by chance: the last one shows that they are logits."""
    x = X.copy()
    x[:-1] = np.abs(x[:-1]) / np.abs(x[:-1]).sum(axis=1, keepdims=True)
    same = '<ir_version: 8, opset_import: ["": 17]> g (float[N,6] x) => (float[N,6] y) { y = Identity (x) }'
    both = []
    for most in (2 * BYTES, 10**9):
        each = Evaluator(Engine(2), Subset.whole(Items(x, LABELS)), [Kl(), TopK()], most_bytes=most)
        scorer = each.against(each.outputs(graph(same)))
        assert scorer.classes is not None and scorer.classes.kind == "logits"
        both.append(by_item(scorer.float_scores) + by_item(scorer.evaluate(graph(OTHER))))
    assert both[0] == both[1]


def test_a_verdict_alone_needs_no_float_outputs() -> None:
    bounded = evaluator([TopK(), Kl(), Sqnr()], 2 * BYTES, callers=1)
    scorer = bounded.against(bounded.outputs(graph(FLOAT)))
    trials = scorer.without_reference
    assert [metric.name for metric in trials.metrics] == ["top1"]
    whole = scorer.evaluate(graph(OTHER))
    kept, kept_of = scorer.reference.kept, scorer.reference.kept.of
    kept.of = lambda position, item: pytest.fail("a float output was asked for")  # type: ignore[method-assign]
    alone = trials.evaluate(graph(OTHER))
    kept.of = kept_of  # type: ignore[method-assign]
    assert alone.scores.keys() == {"top1"}
    np.testing.assert_array_equal(alone.scores["top1"], whole.scores["top1"])
    np.testing.assert_array_equal(alone.leads, whole.leads)
    needing = evaluator([Kl(), TopK()], 2 * BYTES)
    scorer = needing.against(needing.outputs(graph(FLOAT)))
    assert scorer.without_reference is scorer
