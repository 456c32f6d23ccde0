"""The loss contribution of each layer group against plain onnxruntime on the models of the plans."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.accuracy import TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.graph.macs import LayerCost
from runner.modes.scoring.measure_contributions import measure_contributions
from runner.search.layer_groups import layer_groups
from runner.search.plan import INT8, Plan
from runner.search.planned_models import PlannedModels
from tests.data import Items, normal_items
from tests.models import answers, conv_gemm, for_all, prepared, run_plain

X = normal_items(24, 2, 6, 6)
ITEMS = 6


def softmax(rows: NDArray) -> NDArray:
    e = np.exp(rows.astype(np.float64) - rows.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kl(f: NDArray, q: NDArray) -> NDArray:
    p, r = softmax(f), softmax(q)
    return (p * np.log(p / r)).sum(1)


def noise(f: NDArray, q: NDArray) -> NDArray:
    return ((f - q).astype(np.float64) ** 2).sum(1) / (f.astype(np.float64) ** 2).sum(1)


@pytest.mark.parametrize("labelled", [True, False], ids=["classifier", "no classes"])
def test_loss_contribution_is_that_of_the_plans_models_in_plain_onnxruntime(labelled: bool) -> None:
    model = conv_gemm()
    graph, found = prepared(model)
    items = Items(X, answers(model, X)) if labelled else Items(X)
    seen = collect(found, Subset(items, range(8)), observers=for_all(found, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen).form
    metrics = [TopK(), Kl(), Sqnr()] if labelled else [Mse(), Sqnr()]
    evaluator = Evaluator(Engine(2), Subset.whole(items), metrics)
    scorer = evaluator.against(evaluator.outputs(graph))
    models = PlannedModels(found, {INT8: form})
    start = Plan.all_int8(form.layers)
    after = scorer.evaluate(models.model(start, own_session=True))
    scored, told = scorer.ledger.items, []
    groups = layer_groups(found, form, {name: LayerCost(1, 1) for name in form.layers})
    contributions = measure_contributions(groups, start, models, scorer, after=after, items=ITEMS, progress=told.append)
    assert told == list(range(1, 3 * ITEMS + 1)) and scorer.ledger.items - scored == 3 * ITEMS
    assert scorer.ledger.partial == 3

    def outputs(fallback: list[str]) -> NDArray:
        written = fake_quant_model(found, form.without(fallback))
        return np.concatenate([y for (y,) in run_plain(written, X, ["logits"])])

    f = np.concatenate([y for (y,) in run_plain(graph, X, ["logits"])])
    of = kl if labelled else noise
    everything = of(f, outputs([]))
    if labelled:
        top = np.sort(softmax(f), 1)
        changed = outputs([]).argmax(1) != f.argmax(1)
        order = sorted(range(len(X)), key=lambda i: (not changed[i], top[i, -1] - top[i, -2]))
    else:
        order = sorted(range(len(X)), key=lambda i: -everything[i])
    chosen = sorted(order[:ITEMS])
    assert contributions.items == tuple(chosen) and contributions.measure == ("kl" if labelled else "noise")
    assert contributions.total == pytest.approx(everything[chosen].mean(), rel=0.02)
    assert [group.layers for group, _ in contributions.groups] == [("first",), ("second",), ("logits",)]
    for group, value in contributions.groups:
        expected = (everything - of(f, outputs(list(group.layers))))[chosen].mean()
        assert value == pytest.approx(expected, abs=0.02 * contributions.total)
