"""A metric and a strategy of the user's own, which say nothing beyond their protocols, through a whole job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.search.plan import Proposals, Ranking, Trial
from tests.data import normal_items
from tests.models import chain, run_plain, save

X = normal_items(150, 3, 4, 4)


@dataclass(frozen=True)
class MedianShift:
    """The median over the items of the largest shift of any output: an aggregate that is no mean."""

    name = "median_shift"
    unit = "output units"
    needs_labels = False
    needs_classes = False
    output = None

    def score(self, outputs: Any, reference: Any, label: Any, classes: Any) -> tuple[float, ...]:
        return (max(float(np.abs(outputs[name] - reference[name]).max()) for name in reference),)

    def aggregate(self, scores: NDArray[np.float64]) -> float:
        return float(np.median(scores[:, 0]))

    def loss(self, float_scores: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        return self.aggregate(scores) - self.aggregate(float_scores)

    def accepts(self, float_scores: NDArray[np.float64], scores: NDArray[np.float64], target: float) -> bool:
        return self.loss(float_scores, scores) < target


@dataclass(frozen=True)
class Single:
    """Leaves one layer float at a time; proposes each plan twice."""

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        for name in (*ranking.layers, *ranking.layers):
            first = yield all_int8.plan.with_fallback([name])
            assert (yield all_int8.plan.with_fallback([name])) == first

    def most_trials(self, layers: int) -> int:
        return layers


def test_own_metric_decides_over_all_items_and_own_strategy_is_answered_from_the_log(tmp_path: Path) -> None:
    model = save(chain(4), tmp_path / "source.onnx")
    np.savez(tmp_path / "data.npz", x=X)

    def job(target: float, output: str) -> Any:
        options = AccAutoOptions(target_loss=target, metric=MedianShift(), strategy=Single(), calibration_count=8)
        data = NpzDataset(str(tmp_path / "data.npz"))
        return acc_auto(model, data, tmp_path / output, options, name="net", engine=Engine(1))

    # What else is tried where this strategy finds nothing comes after its own plans.
    losses = [trial.loss for trial in job(0.0, "none").search.trials[:5]]
    result = job(sorted(losses)[1] * (1 + 1e-9), "out")
    trials = result.search.trials
    # Which items of a metric of the user's could be left out nobody knows.
    assert len(trials) == 5 and all(trial.full for trial in trials)
    assert [len(trial.plan.fallback) for trial in trials] == [0, 1, 1, 1, 1]
    best = result.search.best
    assert best is not None and result.status == "met" and best.loss <= sorted(losses)[1]
    written = onnx.load(tmp_path / "out" / "results" / "net_fake_quant_model.onnx")
    output = [written.graph.output[0].name]
    f, q = (np.concatenate([y for (y,) in run_plain(graph, X, output)]) for graph in (onnx.load(model), written))
    shifts = np.abs(f - q).reshape(len(X), -1).max(axis=1)
    assert best.loss == pytest.approx(float(np.median(shifts)), rel=1e-3)
    headline = result.comparison.headline
    assert (headline.name, headline.loss) == ("median_shift", best.loss)
    assert (result.work.evaluations, result.work.partial_evaluations, result.work.items_scored) == (6, 0, 6 * 150)
