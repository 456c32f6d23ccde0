"""The files of a search's outcome, accepted or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.amct_config.create import observed_config
from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.engine import Engine
from runner.job_folder import JobFolder
from runner.modes.write_acc_auto import Outcome, write_outcome
from runner.modes.write_models import ModelPair
from runner.record_text import read_record
from runner.search.plan import Plan, Ranking, SearchResult, Trial
from tests.small_data import Items, conv_gemm, normal_items, prepared

ALWAYS = {
    "tmp/config.json",
    "tmp/scale_offset_record.txt",
    "results/accuracy_based_auto_calibration_ranking_info.json",
    "amct_log/accuracy_based_auto_calibration_record.json",
}
ACCEPTED_ONLY = {
    "results/accuracy_based_auto_calibration_final_config.json",
    "results/net_deploy_model.onnx",
    "results/net_fake_quant_model.onnx",
}


def outcome(fallback: list[str] | None) -> Outcome:
    """Return the outcome of a search that accepted one plan, or none."""
    graph, found = prepared(conv_gemm())
    x = normal_items(4, 2, 6, 6)
    seen = collect(graph, found, Items(x), range(4), observer=MinMax(), engine=Engine(1))
    form = quantize_layers(graph, found, seen, symmetric=False).form
    plan = Plan.all_int8(form.layers)
    trials = [Trial(plan, 90.0, 5.0, accepted=False)]
    if fallback is not None:
        trials.append(Trial(plan.with_fallback(fallback), 95.0, 0.0, accepted=True))
    ranking = Ranking((("second", 0.5), ("first", 0.75), ("logits", 1.0)))
    search = SearchResult(tuple(trials), None if fallback is None else trials[-1])
    observers = dict.fromkeys((layer.name for layer in found.layers), MinMax())
    config = observed_config(found, observers, batch_num=4, activation_offset=True)
    return Outcome("net", graph, found, form, config, ranking, search)


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def enabled(path: Path) -> list[str]:
    config = json.loads(path.read_text())
    return [name for name, entry in config.items() if isinstance(entry, dict) and entry["quant_enable"]]


@pytest.mark.parametrize("fallback", [["second"], ["second", "first"]], ids=str)
def test_accepted_plan_is_in_every_file(tmp_path: Path, fallback: list[str]) -> None:
    pair = write_outcome(JobFolder(tmp_path), outcome(fallback))
    assert pair == ModelPair("results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx")
    assert written(tmp_path) == ALWAYS | ACCEPTED_ONLY
    left = [name for name in ("first", "second", "logits") if name not in fallback]
    assert enabled(tmp_path / "tmp" / "config.json") == ["first", "logits", "second"]
    assert enabled(tmp_path / "results" / "accuracy_based_auto_calibration_final_config.json") == sorted(left)
    assert list(read_record(tmp_path / "tmp" / "scale_offset_record.txt")) == left
    history = json.loads((tmp_path / "amct_log" / "accuracy_based_auto_calibration_record.json").read_text())
    assert [entry["metric_eval"] for entry in history] == [[False, 5.0], [True, 0.0]]
    assert [name for name, stays in history[1]["roll_back_config"].items() if stays] == left
    ranking = json.loads((tmp_path / "results" / "accuracy_based_auto_calibration_ranking_info.json").read_text())
    assert ranking == [["second", 0.5], ["first", 0.75], ["logits", 1.0]]


def test_rejected_plans_leave_no_model_and_the_all_int8_record(tmp_path: Path) -> None:
    assert write_outcome(JobFolder(tmp_path), outcome(None)) is None
    assert written(tmp_path) == ALWAYS
    assert list(read_record(tmp_path / "tmp" / "scale_offset_record.txt")) == ["first", "second", "logits"]
