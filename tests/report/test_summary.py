"""summary.json against figures computed apart, from the written models run by plain onnxruntime."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.calibration.minmax import MinMax
from runner.dataset.npz import NpzDataset
from runner.evaluation.accuracy import TopK
from runner.evaluation.distance import Mse
from runner.figure import Figure, Report, Section
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.input_values import InputsSeen, InputValues
from runner.modes.result import AccAutoResult, ConvertResult, ModelInputs
from runner.report.summary import summary as as_summary
from runner.report.told import JobFacts
from runner.targets.ascend.gaps import Gaps
from tests import told
from tests.data import normal_items
from tests.models import answers, chain, onnx_text, run_plain, save

X = normal_items(60, 3, 4, 4)
MODEL = chain(6)
# 1x1 convolutions over 4x4 pixels: 3 -> 6 channels, then 6 -> 6 five times.
MACS = {"conv0": 16 * 6 * 3, **{f"conv{index}": 16 * 6 * 6 for index in range(1, 6)}}


def outputs(model: onnx.ModelProto | Path) -> NDArray[np.float64]:
    """Return the logits of every item, shape (60, 6)."""
    proto = onnx.load(model) if isinstance(model, Path) else model
    return np.array([row[0].reshape(-1) for row in run_plain(proto, X, ["logits"])], np.float64)


def log_softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = rows - rows.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def summary_of(result: AccAutoResult | ConvertResult) -> dict[str, Any]:
    return told.summary_of(result, JobFacts(3, "ab" * 32))


@pytest.fixture(scope="module")
def quantize(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AccAutoResult]:
    """Run the job on six convolutions; labels are the float model's answers, a few of them wrong."""
    folder = tmp_path_factory.mktemp("chain")
    labels = answers(MODEL, X)
    labels[:3] = (labels[:3] + 1) % 6
    np.savez(folder / "data.npz", x=X, y=labels)
    np.savez(folder / "more.npz", x=normal_items(10, 3, 4, 4, seed=5))
    path = save(MODEL, folder / "chain.onnx")

    def run(target: float, **options: Any) -> AccAutoResult:
        return acc_auto(
            path,
            NpzDataset(str(folder / "data.npz")),
            folder / f"out{target}{len(options)}",
            AccAutoOptions(target, **({"calibration_count": 10, "observer": MinMax()} | options)),
            calibration_dataset=NpzDataset(str(folder / "more.npz")),
        )

    return run


@pytest.fixture(scope="module")
def met(quantize: Callable[..., AccAutoResult]) -> AccAutoResult:
    """A job in which some layers fall back."""
    result = quantize(5)
    assert result.status == "met"
    assert 0 < len(result.fallback) < 6
    return result


@pytest.fixture(scope="module")
def labels(met: AccAutoResult) -> NDArray[np.int64]:
    """The labels of the items."""
    stored: NDArray[np.int64] = np.load(Path(met.source.model_path).parent / "data.npz")["y"]
    return stored


def test_accuracies_and_loss_are_those_of_the_written_model(met: AccAutoResult, labels: NDArray[np.int64]) -> None:
    summary = summary_of(met)
    assert met.checked is not None
    float_hits = int(np.sum(outputs(MODEL).argmax(1) == labels))
    hits = int(np.sum(outputs(met.folder.path(met.checked.written.pair.fake_quant)).argmax(1) == labels))
    assert float_hits == 57
    assert summary["float_metric"] == pytest.approx(100 * float_hits / 60)
    assert summary["quantized_metric"] == pytest.approx(100 * hits / 60)
    assert summary["loss"] == pytest.approx(100 * (float_hits - hits) / 60)
    assert summary["metrics"]["top1"] == {"float": summary["float_metric"], "quantized": summary["quantized_metric"]}
    assert (summary["samples"], summary["target_loss"], summary["target_met"]) == (60, 5, True)


def test_companions_follow_their_definitions(met: AccAutoResult) -> None:
    summary = summary_of(met)
    assert met.checked is not None
    f, q = outputs(MODEL), outputs(met.folder.path(met.checked.written.pair.fake_quant))
    divergence = np.mean(np.sum(np.exp(log_softmax(f)) * (log_softmax(f) - log_softmax(q)), axis=1))
    # Not to the last digit: Tanh differs between optimisation levels, and one bit can flip a code further down.
    assert summary["agreement"] == pytest.approx(np.mean(f.argmax(1) == q.argmax(1)))
    assert summary["kl"] == pytest.approx(divergence, rel=0.02)
    assert summary["sqnr_db"] == pytest.approx(10 * math.log10(np.sum(f**2) / np.sum((f - q) ** 2)), abs=0.05)
    assert set(summary["metrics"]) == {"top1", "agreement", "kl", "sqnr"}


def test_layers_and_their_share_of_the_work_are_counted_by_hand(met: AccAutoResult) -> None:
    summary = summary_of(met)
    int8 = set(MACS) - set(met.fallback)
    assert summary["fallback"] == list(met.fallback)
    assert (summary["layers_total"], summary["layers_int8"], summary["tensors_quantized"]) == (6, len(int8), 0)
    share = sum(MACS[name] for name in int8) / sum(MACS.values())
    assert sum(MACS.values()) == 3168
    assert summary["macs_int8_share"] == pytest.approx(share)


def test_digests_and_names_are_those_of_what_was_run(met: AccAutoResult) -> None:
    summary = summary_of(met)
    source = Path(met.source.model_path).read_bytes()
    assert summary["model_sha256"] == hashlib.sha256(source).hexdigest()
    assert (summary["model"], summary["dataset"], summary["mode"], summary["seed"]) == ("chain", "data", "acc_auto", 3)
    assert len(summary["dataset_fingerprint"]) == 64
    assert (summary["overlap"], summary["config_sha256"]) == (0, "ab" * 32)


def test_evaluations_are_the_float_models_and_one_a_trial(met: AccAutoResult) -> None:
    evaluations = summary_of(met)["evaluations"]
    assert evaluations == {"full": 1 + len(met.search.trials), "partial": 0, "items": 60 * (1 + len(met.search.trials))}


def test_seconds_add_up(met: AccAutoResult) -> None:
    seconds = summary_of(met)["seconds"]
    work = sum(seconds[name] for name in ("calibrate", "float_eval", "rank", "search", "final_eval"))
    assert seconds["model_work"] == pytest.approx(work, abs=0.005)
    assert seconds["track"] == 0.0 and seconds["total"] == met.work.seconds["total"]
    stages = work + sum(seconds[name] for name in ("load", "decode", "write", "verify", "look_inside"))
    assert stages <= met.work.seconds["total"] + 0.01


def test_summary_is_json_with_what_it_takes_to_run_again(met: AccAutoResult) -> None:
    summary = json.loads(json.dumps(summary_of(met), allow_nan=False))
    assert summary["versions"].keys() >= {"python", "onnx", "onnxruntime", "numpy"}
    assert summary["versions"]["onnx"] == onnx.__version__
    assert summary["cpu"]
    assert 10 < summary["peak_rss_mb"] < 100_000
    assert 0 <= summary["ort_level_gap"] <= 1
    assert 0 <= summary["cpu_int8_gap"] <= 1


def test_int8_gap_that_could_not_be_measured_is_absent(met: AccAutoResult) -> None:
    assert met.checked is not None
    assert "cpu_int8_gap" not in summary_of(
        replace(
            met,
            files=replace(
                met.files, checked=replace(met.checked, proof=replace(met.checked.proof, gaps=Gaps(0.0, None)))
            ),
        )
    )


def test_target_that_nothing_meets_tells_the_closest_plan_and_no_figure_of_a_file(
    quantize: Callable[..., AccAutoResult],
) -> None:
    result = quantize(0, metric=Mse())
    summary = summary_of(result)
    closest = min(result.search.trials, key=lambda trial: trial.loss)
    assert (summary["status"], summary["target_met"], summary["complete"]) == ("not_met", False, True)
    assert summary["loss"] == pytest.approx(closest.loss)
    assert summary["fallback"] == list(closest.plan.fallback)
    assert summary.keys().isdisjoint({"ort_level_gap", "cpu_int8_gap"})


def test_evaluation_of_a_part_counts_its_items(quantize: Callable[..., AccAutoResult]) -> None:
    summary = summary_of(quantize(100, evaluation_count=7, metric=TopK(2)))
    assert (summary["samples"], summary["evaluations"]["items"]) == (7, 14)
    assert list(summary["metrics"])[:2] == ["top2", "top1"]


def test_metrics_of_a_tracker_have_the_headline_first_and_agree_with_the_summary(met: AccAutoResult) -> None:
    numbers, summary = told.tracked_of(met), summary_of(met)
    assert list(numbers)[:4] == ["loss", "quantized/top1", "float/top1", "layers/int8"]
    pairs = {
        "loss": "loss",
        "quantized/top1": "quantized_metric",
        "float/top1": "float_metric",
        "layers/int8": "layers_int8",
        "layers/total": "layers_total",
        "layers/macs_int8_share": "macs_int8_share",
        "compare/agreement": "agreement",
        "compare/kl": "kl",
        "compare/sqnr_db": "sqnr_db",
    }
    assert {name: numbers[name] for name in pairs} == {name: float(summary[key]) for name, key in pairs.items()}
    assert numbers["layers/fallback"] == len(summary["fallback"])
    assert all(isinstance(value, float) for value in numbers.values())


def test_layers_without_multiplications_have_no_share(met: AccAutoResult) -> None:
    assert summary_of(replace(met, layers=replace(met.layers, costs={})))["macs_int8_share"] == 0.0


def test_converted_model_without_labels_is_judged_by_its_agreement_and_has_no_target(tmp_path: Path) -> None:
    source = onnx_text(
        """g (float[N,4] x) => (float[N,3] y) {
            c = QuantizeLinear (x, s, z)
            a = DequantizeLinear (c, s, z)
            w = DequantizeLinear (wq, sw, z)
            fc = Gemm (a, w)
            y = Softmax (fc)
        }""",
        s=np.float32(0.02),
        z=np.int8(0),
        wq=np.random.default_rng(0).integers(-127, 128, (4, 3)).astype(np.int8),
        sw=np.float32(0.01),
    )
    np.savez(tmp_path / "data.npz", x=normal_items(20, 4))
    result = convert_qat(
        save(source, tmp_path / "net.onnx"),
        NpzDataset(str(tmp_path / "data.npz")),
        tmp_path / "out",
        ConvertQatOptions(),
    )
    summary = summary_of(result)
    assert (summary["status"], summary["float_metric"], summary["layers_int8"]) == ("converted", 100.0, 1)
    assert summary["quantized_metric"] == pytest.approx(100 * summary["agreement"])
    assert not {"target_loss", "target_met", "overlap"} & summary.keys()
    assert "top1" not in summary["metrics"]
    assert (summary["evaluations"]["full"], summary["macs_int8_share"]) == (2, 1.0)


def test_inputs_have_names_that_mlflow_takes(met: AccAutoResult) -> None:
    values = InputValues(-1.0, 2.0, 0.25)
    named = replace(met, inputs=ModelInputs(InputsSeen({"input:0": values, "a/b": values}, 9), (), {"sr": 16000}))
    numbers = told.tracked_of(named)
    for name in ("input_0", "a_b"):
        assert [numbers[f"input/{name}/{key}"] for key in ("min", "max", "mean")] == [-1.0, 2.0, 0.25]
    summary = summary_of(named)
    assert summary["inputs"]["input:0"] == {"min": -1.0, "max": 2.0, "mean": 0.25, "items": 9}
    assert summary["constants"] == {"sr": 16000} and "chosen" not in summary
    assert not {"inputs", "constants", "chosen"} & set(summary_of(replace(met, inputs=ModelInputs())))


def test_figure_of_a_new_section_comes_before_what_it_takes_to_run_again() -> None:
    sections = (
        Section(name="environment", figures=(Figure(key="seed", value=0),)),
        Section(name="mine", figures=(Figure(key="mine", value=1), Figure(key=("inner", "mine"), value=2))),
        Section(name="run", figures=(Figure(key="mode", value="m"), Figure(title="told to people", phrase="alone"))),
    )
    told_of = Report("m", "net", "data", ("met", "green"), (), sections)
    assert list(as_summary(told_of).items()) == [("mode", "m"), ("mine", 1), ("inner", {"mine": 2}), ("seed", 0)]


def test_every_key_of_the_summary_and_every_tracked_name_is_told_once(met: AccAutoResult) -> None:
    figures = told.report_of(met).figures
    for names in ([figure.key for figure in figures if figure.key], [f.tracked for f in figures if f.tracked]):
        assert len(names) == len(set(names))
    sections = [section.name for section in told.report_of(met).sections]
    assert len(sections) == len(set(sections))
