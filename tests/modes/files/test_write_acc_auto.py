"""The files of a search's outcome, accepted or not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.amct_config.create import observed_config
from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.job_folder import JobFolder, read_manifest
from runner.modes.files.write_acc_auto import BestModels, Outcome, write_outcome
from runner.record_text import read_record
from runner.search.end_to_end import LossContributions
from runner.search.pareto import Point
from runner.search.plan import LayerGroup, Plan, Ranking, SearchResult, Trial
from runner.search.planned_models import planned_form
from runner.targets.ascend.target import Ascend
from tests.data import Items, normal_items
from tests.models import conv_gemm, for_all, prepared

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


def outcome(folder: JobFolder, fallback: list[str] | None) -> tuple[Outcome, BestModels]:
    """Return the outcome of a search that accepted one plan, or none, and what writes its models."""
    _, found = prepared(conv_gemm())
    x = normal_items(4, 2, 6, 6)
    seen = collect(found, Subset(Items(x), range(4)), observers=for_all(found, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen).form
    plan = Plan.all_int8(form.layers)
    trials = [Trial(plan, 90.0, 5.0, accepted=False)]
    if fallback is not None:
        trials.append(Trial(plan.with_fallback(fallback), 95.0, 0.0, accepted=True))
    ranking = Ranking((("second", 0.5), ("first", 0.75), ("logits", 1.0)))
    search = SearchResult(tuple(trials), None if fallback is None else trials[-1])
    observers = dict.fromkeys((layer.name for layer in found.layers), MinMax())
    config = observed_config(found, observers, batch_num=4, activation_offset=True)
    chosen = form.without(plan.fallback if search.best is None else search.best.plan.fallback)
    return Outcome(form, chosen, config, ranking, search), BestModels(
        folder, "results/net", found, lambda plan: form.without(plan.fallback), Ascend()
    )


def written(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {"manifest.json"}


def enabled(path: Path) -> list[str]:
    config = json.loads(path.read_text())
    return [name for name, entry in config.items() if isinstance(entry, dict) and entry["quant_enable"]]


@pytest.mark.parametrize("fallback", [["second"], ["second", "first"]], ids=str)
def test_accepted_plan_is_in_every_file(tmp_path: Path, fallback: list[str]) -> None:
    folder = JobFolder(tmp_path)
    pair = write_outcome(folder, *outcome(folder, fallback))
    folder.finish()
    assert pair == ("results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx")
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
    folder = JobFolder(tmp_path)
    assert write_outcome(folder, *outcome(folder, None)) == ()
    assert written(tmp_path) == ALWAYS
    assert list(read_record(tmp_path / "tmp" / "scale_offset_record.txt")) == ["first", "second", "logits"]


def test_pair_of_the_best_plan_so_far_is_published_with_its_manifest_and_only_better_ones_replace_it(
    tmp_path: Path,
) -> None:
    folder = JobFolder(tmp_path)
    _, pair = outcome(folder, None)
    plan = Plan.all_int8(["first", "second", "logits"])

    def offered(fallback: list[str], accepted: bool) -> dict[str, str]:
        pair.offer(Trial(plan.with_fallback(fallback), 90.0, 0.0, accepted))
        pair.publish()
        assert read_manifest(tmp_path) == digests(tmp_path, "results/*.onnx")
        return read_manifest(tmp_path)

    assert offered([], accepted=False) == {}
    two = offered(["first", "second"], accepted=True)
    assert set(two) == {"results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx"}
    one = offered(["first"], accepted=True)
    assert set(one) == set(two) and one != two
    assert offered(["first", "second"], accepted=True) == offered(["second"], accepted=True) == one
    assert offered(["first", "second", "logits"], accepted=True) == one  # a float model is no result


def digests(folder: Path, pattern: str) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob(pattern)}


def test_loss_contributions_and_curve_are_written_where_there_are_any(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    found, pair = outcome(folder, ["second"])
    groups = ((LayerGroup(("first", "second"), 40), 0.25), (LayerGroup(("logits",), 2), 0.75))
    plans = [trial.plan for trial in found.search.trials]
    curve = (Point(0, 1.0, 5.0, False, True, False, plans[0]), Point(1, 0.5, 0.0, True, True, True, plans[1]))
    write_outcome(
        folder, replace(found, loss_contributions=LossContributions("kl", (3, 7, 9), 2.0, groups), curve=curve), pair
    )
    beside = {"results/damage.json", "results/pareto.json"}
    assert written(tmp_path) == ALWAYS | ACCEPTED_ONLY | beside
    assert json.loads((tmp_path / "results" / "damage.json").read_text()) == {
        "measure": "kl",
        "items": 3,
        "all_int8": 2.0,
        "units": [
            {"layers": ["logits"], "damage": 0.75, "share": 0.375, "macs": 2},
            {"layers": ["first", "second"], "damage": 0.25, "share": 0.125, "macs": 40},
        ],
    }
    point = {"accepted": False, "best_of_its_price": True, "chosen": False, "fallback": [], "repaired": []}
    point["float_tensors"] = False
    assert json.loads((tmp_path / "results" / "pareto.json").read_text()) == [
        {"trial": 0, "macs_int8_share": 1.0, "loss": 5.0, **point},
        {"trial": 1, "macs_int8_share": 0.5, "loss": 0.0, **point}
        | {"accepted": True, "chosen": True, "fallback": ["second"]},
    ]


def test_repaired_layers_are_written_as_they_were_tried(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    plain, _ = outcome(folder, ["second"])
    _, found = prepared(conv_gemm())
    seen = collect(
        found,
        Subset(Items(normal_items(2, 2, 6, 6, seed=9)), range(2)),
        observers=for_all(found, MinMax()),
        engine=Engine(1),
    )
    strong = quantize_layers(found, seen).form
    plan = Plan(tuple((name, {"second": "float"}.get(name, "int8+strong")) for name in plain.all_int8.layers))
    best = Trial(plan, 95.0, 0.0, accepted=True)
    search = SearchResult((*plain.search.trials[:1], best), best)
    changed = replace(
        plain, search=search, final_form=planned_form({"int8": plain.all_int8, "int8+strong": strong}, plan)
    )
    write_outcome(folder, changed, BestModels(folder, "results/net", found, lambda plan: changed.final_form, Ascend()))
    record = read_record(tmp_path / "tmp" / "scale_offset_record.txt")
    assert list(record) == ["first", "logits"]
    assert record["first"].activation.scale == pytest.approx(strong.layers["first"].record.activation.scale, rel=1e-6)
    assert record["first"].activation.scale != pytest.approx(plain.all_int8.layers["first"].record.activation.scale)
