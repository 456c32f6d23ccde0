"""An AMCT evaluator decides a whole job: what it is called with, and what its verdicts do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.job_folder import read_manifest
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from runner.modes.steps import measure
from runner.report.flips import flips
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from tests.data import normal_items
from tests.models import answers, chain, save
from tests.told import rows_of, summary_of, tracked_of

X = normal_items(24, 3, 4, 4)


class Evaluator:
    """An evaluator as AMCT's users write them; ``allowed`` is the loss that it is satisfied below."""

    def __init__(self, allowed: float) -> None:
        self.allowed, self.files = allowed, []

    def calibration(self, model_file: str) -> None:
        raise AssertionError("calibration looks at the job's own items")

    def evaluate(self, model_file: str) -> Any:
        session = ort.InferenceSession(model_file, providers=["CPUExecutionProvider"])
        operators = {node.op_type for node in onnx.load(model_file).graph.node}
        self.files.append((model_file, "QuantizeLinear" in operators))
        return np.concatenate([session.run(None, {"x": item[np.newaxis]})[0] for item in X])

    def metric_eval(self, original_metric: Any, new_metric: Any) -> tuple[Any, Any]:
        loss = np.mean((original_metric.astype(np.float64) - new_metric) ** 2)
        return np.less_equal(loss, self.allowed), loss


@pytest.fixture
def job(tmp_path: Path) -> Any:
    model = chain(6)
    path = save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=X, y=answers(model, X))

    def run(evaluator: object, **options: object) -> AccAutoResult:
        options = {"target_loss": 0.0, "calibration_count": 8, "metric": AmctEvaluator(evaluator)} | options
        data = NpzDataset(str(tmp_path / "data.npz"))
        return acc_auto(path, data, tmp_path / "out", AccAutoOptions(**options), name="net", engine=Engine(2))

    return run


def test_metric_eval_decides_every_plan_and_its_loss_is_reported(job: Any, tmp_path: Path) -> None:
    losses = [trial.loss for trial in job(Evaluator(0.0)).search.trials]
    assert losses[1] < losses[0]
    evaluator = Evaluator((losses[0] * losses[1]) ** 0.5)
    result = job(evaluator)
    assert result.status == "met" and 0 < len(result.fallback) < 6
    assert all(trial.full for trial in result.search.trials)
    for trial in result.search.trials:
        assert trial.accepted is (trial.loss <= evaluator.allowed)
    original, *trials = evaluator.files
    assert original == (str(tmp_path / "net.onnx"), False)
    assert len(trials) == len(result.search.trials) and all(quantized for _, quantized in trials)
    assert not any(Path(name).exists() for name, _ in trials)
    # The written model is the one that was judged.
    written = evaluator.evaluate(str(tmp_path / "out" / "results" / "net_fake_quant_model.onnx"))
    best = result.search.best
    assert best is not None
    assert evaluator.metric_eval(evaluator.evaluate(original[0]), written)[1] == best.loss
    history = json.loads((tmp_path / "out/amct_log/accuracy_based_auto_calibration_record.json").read_text())
    assert [entry["metric_eval"] for entry in history] == [[t.accepted, t.loss] for t in result.search.trials]


def test_summary_has_the_evaluators_figures_and_the_usual_companions(job: Any) -> None:
    class Accuracy(Evaluator):
        def evaluate(self, model_file: str) -> float:
            super().evaluate(model_file)
            return 0.75 if self.files[-1][1] else 1.0

        def metric_eval(self, original_metric: float, new_metric: float) -> tuple[bool, float]:
            return original_metric - new_metric < 0.5, original_metric - new_metric

    result = job(Accuracy(0.0))
    summary = summary_of(result)
    assert (summary["float_metric"], summary["quantized_metric"], summary["loss"]) == (1.0, 0.75, 0.25)
    assert summary["target_met"] is True and "target_loss" not in summary
    assert summary["metrics"]["amct_evaluator"] == {"float": 1.0, "quantized": 0.75}
    assert summary["metrics"].keys() == {"amct_evaluator", "sqnr", "top1", "agreement", "kl"}
    assert 0 < summary["agreement"] <= 1 and summary["kl"] > 0 and summary["sqnr_db"] > 0
    assert list(tracked_of(result).items())[:2] == [("loss", 0.25), ("quantized/amct_evaluator", 0.75)]


@pytest.mark.parametrize("allowed", [0.5, 1e9], ids=["in the search", "in the runner's own figures"])
def test_interrupted_job_tells_the_evaluators_figures_alone(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: float
) -> None:
    losses = [trial.loss for trial in job(Evaluator(0.0)).search.trials]
    evaluator = Evaluator(allowed if allowed > 1 else allowed * losses[0])
    if allowed > 1:
        # The plan is accepted, and the runner begins to score it for the companions.
        monkeypatch.setattr(measure, "_scores", interrupt)
    else:
        monkeypatch.setattr(evaluator, "evaluate", interrupting(evaluator.evaluate, 3))
    result = job(evaluator)
    result.folder.finish()
    assert (result.status, result.complete, len(result.search.trials)) == ("interrupted", False, 1)
    summary = summary_of(result)
    assert (summary["status"], summary["loss"], summary["samples"]) == ("interrupted", losses[0], 24)
    assert tracked_of(result)["loss"] == losses[0]
    assert "interrupted" in "\n".join(rows_of(result))
    assert summary["metrics"].keys() == {"amct_evaluator"} and flips(result.comparison) is None
    assert ("results/net_deploy_model.onnx" in read_manifest(tmp_path / "out")) is (allowed > 1)


def interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def interrupting(evaluate: Any, call: int) -> Any:
    calls = 0

    def counted(model_file: str) -> Any:
        nonlocal calls
        calls += 1
        return interrupt() if calls == call else evaluate(model_file)

    return counted


def test_metric_that_is_no_number_is_told_by_its_loss(job: Any) -> None:
    result = job(Evaluator(1e9))
    headline = result.comparison.headline
    assert (headline.before, headline.after) == (0.0, headline.loss) and headline.loss > 0


def test_float_model_must_satisfy_itself(job: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        job(Evaluator(-1.0))
    assert str(error.value).startswith(
        "metric.evaluator: Compare between original_accuracy and original_accuracy can not satisfy the acc requirement, "
        "please check the metric_eval function."
    )
    assert not (tmp_path / "out" / "results").exists()


def test_evaluator_that_nothing_satisfies_but_the_float_model_is_a_result(job: Any) -> None:
    result = job(Evaluator(0.0))
    assert result.status == "not_met" and result.checked is None and result.target_loss is None


def test_an_evaluator_of_the_users_can_decide_over_loss_contributions(job: Any) -> None:
    # Its answers stay with it, so the items that matter come from the runner's own figures.
    result = job(Evaluator(0.0), strategy=Greedy(None), sensitivity=EndToEnd(items=4))
    assert result.status == "not_met" and len(result.search.trials) > 1
    assert (
        result.loss_contributions is not None
        and result.loss_contributions.total > 0
        and len(result.loss_contributions.items) == 4
    )
