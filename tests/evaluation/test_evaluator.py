"""Scoring a model item by item against the float model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.position_agreement import PositionAgreement
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import EVALUATION, by_item, gathered
from runner.output_digest import output_digest
from runner.session import Session
from tests.data import Items, normal_items
from tests.models import answers, conv_gemm, onnx_text, run_plain

X = normal_items(30, 2, 6, 6)
MODEL = conv_gemm()
OTHER = conv_gemm(seed=5)
LABELS = answers(MODEL, X)


def scorer_of(
    metrics: list[Metric], y: object = LABELS, callers: int = 2, model: object = MODEL, **options: object
) -> Scorer:
    """Return the scorer against a float model."""
    return against(Evaluator(Engine(callers), Subset.whole(Items(X, y)), metrics, **options), graph(model))


def against(evaluator: Evaluator, model: ir.Model) -> Scorer:
    return evaluator.against(evaluator.outputs(model))


def graph(model: object) -> ir.Model:
    return ir.from_proto(model)


def test_scores_are_those_of_the_outputs_that_onnxruntime_gives() -> None:
    scorer = scorer_of([TopK(), Agreement(), Kl(), Sqnr(), Mse()])
    before, after = scorer.float_scores, scorer.evaluate(graph(OTHER))
    f = np.concatenate([y for (y,) in run_plain(MODEL, X, ["logits"])]).astype(np.float64)
    q = np.concatenate([y for (y,) in run_plain(OTHER, X, ["logits"])]).astype(np.float64)
    assert before.scores["top1"].ravel().tolist() == [1.0] * 30
    same = (q.argmax(axis=1) == f.argmax(axis=1)).astype(float)
    assert 0 < same.sum() < 30
    assert after.scores["top1"].ravel().tolist() == after.scores["agreement"].ravel().tolist() == same.tolist()
    p, r = (np.exp(a) / np.exp(a).sum(axis=1, keepdims=True) for a in (f, q))
    np.testing.assert_allclose(after.scores["kl"].ravel(), (p * np.log(p / r)).sum(axis=1), rtol=1e-4, atol=1e-6)
    assert scorer.metrics[4].aggregate(after.scores["mse"]) == pytest.approx(np.mean((f - q) ** 2), rel=1e-4)
    expected = 10 * np.log10((f**2).sum() / ((f - q) ** 2).sum())
    assert scorer.metrics[3].aggregate(after.scores["sqnr"]) == pytest.approx(expected, abs=1e-3)


def test_digests_are_those_of_the_outputs_and_are_kept() -> None:
    scorer = scorer_of([TopK()])
    assert scorer.float_scores.digests is None
    after = scorer.evaluate(graph(OTHER))
    outputs = [scorer.session(graph(OTHER)).run({"x": x[np.newaxis]}) for x in X]
    assert after.digests is not None and after.digests.tolist() == [list(output_digest(each)) for each in outputs]
    for again in (gathered(by_item(after)), EVALUATION.decode(EVALUATION.encode(after))):
        assert again.digests is not None and np.array_equal(again.digests, after.digests)
    assert list(after.scores) == ["top1"]


@pytest.mark.parametrize("metric", [TopK(), TopK(3), Agreement(), Kl(), Sqnr(), Mse()], ids=lambda m: m.name)
def test_the_float_model_has_no_loss_against_itself(metric: Metric) -> None:
    scorer = scorer_of([metric])
    before, again = scorer.float_scores, scorer.evaluate(graph(MODEL))
    assert metric.loss(before.scores[metric.name], again.scores[metric.name]) == 0.0


def test_results_do_not_depend_on_the_number_of_callers() -> None:
    results = []
    for callers in (1, 2, 5):
        scorer = scorer_of([Kl(), Sqnr(), TopK()], callers=callers)
        results.append(scorer.evaluate(graph(OTHER)).scores)
    assert all(np.array_equal(results[0][name], other[name]) for other in results[1:] for name in results[0])


def test_metrics_that_do_not_apply_are_left_out() -> None:
    companions = [Agreement(), TopK(), Kl(), Sqnr()]
    unlabelled = scorer_of(companions, y=None)
    assert [m.name for m in unlabelled.metrics] == ["agreement", "sqnr"] and unlabelled.classes is None
    logits = scorer_of(companions, y=None, output_kind="logits")
    assert [m.name for m in logits.metrics] == ["agreement", "kl", "sqnr"]
    labelled = scorer_of(companions)
    assert [m.name for m in labelled.metrics] == ["agreement", "top1", "kl", "sqnr"]


@pytest.mark.parametrize("labels", [None, [*LABELS[:-1], None]], ids=["none", "one missing"])
def test_metric_of_labels_without_labels_is_refused_with_the_ways_out(labels: object) -> None:
    with pytest.raises(ConfigError) as error:
        scorer_of([TopK()], y=labels)
    assert str(error.value) == (
        "metric: top1 needs a label for every item, but the dataset has none. "
        "Set dataset.labels=FILE, or choose metric=agreement, kl, sqnr or mse."
    )


def test_metric_of_classes_without_classes_is_refused_with_the_ways_out() -> None:
    with pytest.raises(
        ConfigError, match=r"metric: kl needs an output of class scores.*metric\.output.*metric=sqnr or mse"
    ):
        scorer_of([Kl()], y=None)


def test_label_outside_the_classes_is_refused_with_item_and_range() -> None:
    labels = LABELS.copy()
    labels[7] = 5
    with pytest.raises(DatasetError) as error:
        scorer_of([TopK()], y=labels)
    assert str(error.value) == (
        "dataset.labels: 1 of 30 items has a class beyond the model's 5 scores: expected 0 to 4, got 0 to 5, such as item 7 "
        "with 5. Classes are numbered from 0, in the order of the model's scores; are the labels those of this model?"
    )


@pytest.mark.parametrize(
    "metric",
    [TopK(output="logit"), Kl(output="logit"), Sqnr(output="logit"), Mse(output="logit"), Agreement(output="logit")],
    ids=lambda m: m.name,
)
def test_unknown_output_is_refused_whatever_the_metric(metric: Metric) -> None:
    with pytest.raises(ConfigError, match=r"metric\.output: the model has no output 'logit'; it has logits\."):
        scorer_of([metric])


TWO_OUTPUTS = onnx_text(
    """g (float[N,2,6,6] x) => (float[N,2] scores, float[N,2,6,6] map) {
        map = Conv (x, w)
        p = GlobalAveragePool (map)
        f = Flatten (p)
        scores = Softmax (f)
    }""",
    w=np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32),
)


def test_output_named_by_the_metric_holds_the_classes() -> None:
    scorer = scorer_of([Agreement(output="scores")], y=None, model=TWO_OUTPUTS)
    assert scorer.classes is not None and (scorer.classes.output, scorer.classes.kind) == (
        "scores",
        "probabilities",
    )
    without = scorer_of([Agreement()], y=None, model=TWO_OUTPUTS)
    assert without.classes is None


def test_chosen_positions_are_scored_and_counted() -> None:
    scorer = scorer_of([TopK(), Kl()])
    whole = scorer.evaluate(graph(OTHER))
    assert scorer.ledger.items == 60
    some = list(scorer.scores(Session(graph(OTHER)), [3, 29, 11]))
    assert [s["kl"] for s in some] == [tuple(whole.scores["kl"][i]) for i in (3, 29, 11)]
    assert scorer.ledger.items == 63


def test_items_are_those_of_the_indices() -> None:
    evaluator = Evaluator(Engine(1), Subset(Items(X, LABELS), [4, 2, 9]), [TopK()])
    told: list[int] = []
    made = evaluator.against(evaluator.outputs(graph(MODEL), told.append))
    scores = made.float_scores.scores["top1"]
    assert scores.shape == (3, 1) and told == [1, 2, 3]
    expected = run_plain(MODEL, X[[2]], ["logits"])[0][0]
    np.testing.assert_allclose(made.reference.kept.known[1]["logits"], expected, rtol=1e-4, atol=1e-5)


def test_model_with_a_fixed_batch_is_judged_by_one_row_an_item() -> None:
    fixed = conv_gemm()
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    scorer = scorer_of([TopK(), Mse()], model=fixed)
    scores = scorer.float_scores.scores
    assert scorer.classes is not None and scorer.classes.classes == 5
    assert scores["top1"].all()
    assert scores["mse"][:, 1].tolist() == [5.0] * 30


LOG = '<ir_version: 8, opset_import: ["":13]> g (float[N,2] x) => (float[N,2] y) { y = Log(x) }'


def of_items(values: Any, *metrics: Metric, **options: Any) -> Evaluator:
    """Return an scorer over unlabelled items of two values each."""
    return Evaluator(Engine(1), Subset.whole(Items(np.array(values, np.float32))), metrics, **options)


def test_nan_that_the_float_model_makes_is_told_and_equals_nan_in_the_same_place() -> None:
    scorer = against(of_items([[1.0, 2.0], [1.0, -2.0], [-1.0, 3.0]], Sqnr(), Agreement()), ir.from_onnx_text(LOG))
    before = scorer.float_scores
    assert list(scorer.cautions) == [
        "the float model's output 'y' holds NaN for 2 of 3 items, first item 1; NaN in the same places counts as equal. "
        "A Log, Sqrt or Div of values that it is not made for gives it."
    ]
    # Of the others ln 2 and ln 3 carry a signal, and nothing is lost.
    assert before.scores["sqnr"] == pytest.approx(
        np.array([[np.log(2) ** 2, 0, 2], [0, 0, 2], [np.log(3) ** 2, 0, 2]]), rel=1e-6
    )
    assert before.scores["agreement"].tolist() == [[1], [1], [1]]
    other = scorer.evaluate(ir.from_onnx_text(LOG.replace("y = Log(x)", "z = Neg(x) y = Log(z)")))
    assert other.scores["agreement"].tolist() == [[0], [0], [0]]
    assert np.isfinite(other.scores["sqnr"]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_item_that_is_not_finite_is_named_where_the_float_output_is_nan(bad: float) -> None:
    graph_ = ir.from_onnx_text(LOG.replace("y = Log(x)", "y = Sub(x, x)"))
    with pytest.raises(DatasetError) as error:
        against(of_items([[1.0, 2.0], [1.0, bad]], Sqnr()), graph_)
    assert str(error.value) == (
        "dataset: item item 1 holds 1 value(s) that are NaN or infinite, and the model's output 'y' for it says nothing; "
        "expected finite numbers. Mend the item or leave it out."
    )
    # The same where the outputs were kept by a job in which somebody else decided.
    evaluator = of_items([[1.0, 2.0], [1.0, bad]], Sqnr())
    kept = replace(evaluator, decides=False).outputs(graph_)
    with pytest.raises(DatasetError) as again:
        evaluator.against(kept)
    assert str(again.value) == str(error.value)
    # Where somebody else decides, a figure is no reason to stop.
    undecided = against(of_items([[1.0, 2.0], [1.0, bad]], Sqnr(), decides=False), graph_)
    assert np.isfinite(undecided.float_scores.scores["sqnr"]).all()


def test_item_that_is_not_finite_is_named_where_only_the_quantized_output_is_finite() -> None:
    relu = ir.from_onnx_text(LOG.replace("y = Log(x)", "y = Relu(x)"))
    scorer = against(of_items([[1.0, 2.0], [1.0, np.inf]], Sqnr()), relu)
    clipped = ir.from_onnx_text(LOG.replace("y = Log(x)", "a = Relu(x) y = Erf(a)"))
    with pytest.raises(DatasetError, match=r"item item 1 holds 1 value\(s\) that are NaN or infinite"):
        scorer.evaluate(clipped)


def test_mask_of_infinities_in_an_item_is_no_fault_where_both_models_pass_it_on() -> None:
    identity = ir.from_onnx_text(LOG.replace("y = Log(x)", "y = Identity(x)"))
    scorer = against(of_items([[1.0, -np.inf], [2.0, -np.inf]], Sqnr(), Agreement()), identity)
    scores = scorer.evaluate(ir.from_onnx_text(LOG.replace("y = Log(x)", "y = Add(x, x)"))).scores
    assert scores["sqnr"].tolist() == [[1, 1, 2], [4, 4, 2]] and scorer.cautions == ()


def test_class_scores_that_hold_nan_are_refused_by_a_metric_that_needs_them_and_ignored_by_others() -> None:
    values, softmax = [[1.0, 2.0], [1.0, -2.0]], LOG.replace("y = Log(x)", "a = Log(x) y = Softmax(a)")
    with pytest.raises(ModelError) as error:
        against(of_items(values, Kl(), output_kind="probabilities"), ir.from_onnx_text(softmax))
    assert str(error.value) == (
        "model.path: the class scores 'y' hold NaN for the item item 1; expected numbers, which metric=kl compares. Mend the "
        "model, or choose metric=sqnr or mse."
    )
    others = of_items(values, Sqnr(), Kl(), output_kind="probabilities")
    assert list(against(others, ir.from_onnx_text(softmax)).float_scores.scores) == ["sqnr"]


def test_evaluator_without_metrics_gives_no_figures() -> None:
    scorer = against(of_items([[1.0, 2.0], [1.0, 3.0]]), ir.from_onnx_text(LOG))
    for evaluation in (scorer.float_scores, scorer.evaluate(ir.from_onnx_text(LOG))):
        assert (evaluation.scores, evaluation.answers, evaluation.leads) == ({}, None, None)


def test_leads_are_kept_of_a_headline_metric_that_counts_hits_and_of_no_other() -> None:
    scorer = scorer_of([TopK(), Kl()])
    before, after = scorer.float_scores, scorer.evaluate(graph(OTHER))
    for model, evaluation in ((MODEL, before), (OTHER, after)):
        rows = np.concatenate([y for (y,) in run_plain(model, X, ["logits"])]).astype(np.float64)
        own = rows[np.arange(30), LABELS]
        rows[np.arange(30), LABELS] = -np.inf
        np.testing.assert_allclose(evaluation.leads, own - rows.max(axis=1), rtol=1e-4, atol=1e-4)
    assert scorer_of([Kl(), TopK()]).float_scores.leads is None


@pytest.mark.parametrize("headline", [TopK(), Kl()], ids=["with leads", "without"])
def test_scores_of_items_and_of_all_are_the_same_numbers(headline: Any) -> None:
    scorer = scorer_of([headline, Mse()])
    session = Session(graph(OTHER))
    items = list(scorer.scores(session, range(30)))
    assert by_item(scorer.evaluate(session)) == items
    assert by_item(gathered(items)) == items


def test_known_scores_are_not_scored_again() -> None:
    scorer, told = scorer_of([Mse()]), []
    full = scorer.evaluate(graph(OTHER))
    session = Session(graph(OTHER))
    known = dict(zip([7, 3, 29], scorer.scores(session, [7, 3, 29]), strict=True))
    before = scorer.ledger.items
    again = scorer.evaluate(session, told.append, known)
    assert np.array_equal(again.scores["mse"], full.scores["mse"])
    assert scorer.ledger.items - before == 27 and told == list(range(1, 28))


TEXT = '<ir_version: 8, opset_import: ["":13]> g (float[N,5,4] x) => (float[N,5,4] y) { y = Softmax<axis=-1>(x) }'


def test_agreement_of_rows_of_classes_is_counted_by_position() -> None:
    values = np.random.default_rng(0).normal(0, 2, (12, 5, 4)).astype(np.float32)
    evaluator = Evaluator(Engine(1), Subset.whole(Items(values)), [Agreement(), Sqnr(), Kl()])
    scorer = against(evaluator, ir.from_onnx_text(TEXT))
    assert scorer.metrics == (PositionAgreement("y"), Sqnr()) and scorer.classes is None
    other = scorer.evaluate(ir.from_onnx_text(TEXT.replace("Softmax<axis=-1>(x)", "Sin(x)")))
    wrong = (np.sin(values).argmax(-1) != values.argmax(-1)).sum(axis=1)
    assert 0 < wrong.sum() < 60
    assert other.scores["agreement"].tolist() == [[float(count), 5.0] for count in wrong]
    assert scorer.metrics[0].loss(scorer.float_scores.scores["agreement"], other.scores["agreement"]) == pytest.approx(
        100 * wrong.sum() / 60
    )
    # Over other items, to which the metrics are handed on, it stays as it is.
    again = replace(evaluator, metrics=scorer.metrics).against(evaluator.outputs(ir.from_onnx_text(TEXT)))
    assert again.metrics == scorer.metrics


BOTH = (
    '<ir_version: 8, opset_import: ["":13]> g (float[N,2] x) => (float[N,2] loud, float[N,2] silent, int64[N] label) '
    "{ loud = Identity(x) n = Neg(x) a = Abs(n) r = Neg(a) silent = Relu(r) label = ArgMax<axis=1, keepdims=0>(x) }"
)


def test_output_that_is_nothing_but_zeros_is_told_where_its_sqnr_decides() -> None:
    values, graph_ = [[1.0, 2.0], [3.0, -4.0]], ir.from_onnx_text(BOTH)
    scorer = against(of_items(values, Sqnr(), Agreement()), graph_)
    assert list(scorer.cautions) == [
        "the float model's output 'silent' is 0 for all 2 items: noise has no signal there to be held against, and any at all "
        "counts as 0 dB. metric.output=NAME judges another output, metric=mse needs no signal."
    ]
    assert scorer.outputs == {"loud": False, "silent": False, "label": True}
    # (signal, noise, values) of each; of the label the number of values.
    assert scorer.float_scores.scores["sqnr"].tolist() == [[5, 0, 2, 0, 0, 2, 1, 0, 1], [25, 0, 2, 0, 0, 2, 1, 0, 1]]
    for evaluator in (
        of_items(values, Sqnr(output="loud")),
        of_items(values, Mse(), Sqnr()),
        of_items(values, Sqnr(), decides=False),
    ):
        assert against(evaluator, graph_).cautions == ()


class Faulty(TopK):
    """A metric of a user's that does what it is made to do."""

    def __init__(self, row: object) -> None:
        object.__setattr__(self, "row", row)
        super().__init__()

    def score(self, outputs, reference, label, classes):
        if isinstance(self.row, Exception):
            raise self.row
        return self.row


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (KeyError("boxes"), r"metric: top1\.score failed for the item item 0: KeyError: 'boxes'\. Mend the class\."),
        (None, r"metric: top1\.score gave 'None' for the item item 0; expected a sequence of numbers\."),
        (0.5, r"metric: top1\.score gave '0\.5' for the item item 0; expected a sequence of numbers\."),
        (("good",), r"metric: top1\.score gave .* for the item item 0; expected a sequence of numbers\."),
    ],
    ids=["raises", "nothing", "a number", "a text"],
)
def test_fault_of_a_users_metric_is_told_as_one(row: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scorer_of([Faulty(row)])
