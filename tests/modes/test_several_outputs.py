"""Jobs on models of several outputs, and of classes at several positions: what decides, and what is told of each output."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from runner.calibration.minmax import MinMax
from runner.dataset.npz import NpzDataset
from runner.evaluation.accuracy import Agreement
from runner.evaluation.distance import Mse, Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from tests.data import normal_items
from tests.models import onnx_text, save
from tests.told import page_of, rows_of, summary_of, tracked_of

X = normal_items(24, 2, 6, 6)
RNG = np.random.default_rng(4)

# Boxes of hundreds, scores far below 1 of a badly quantized layer, and each item's best place.
DETECTOR = onnx_text(
    "g (float[N,2,6,6] x) => (float[N,8] boxes, float[N,8] scores, int64[N] best) { c = Conv (x, w) r = Relu (c) "
    "f = Flatten (r) b = MatMul (f, v) boxes = Mul (b, hundred) s = MatMul (f, u) scores = Sigmoid (s) "
    "best = ArgMax <axis = 1, keepdims = 0> (s) }",
    w=RNG.normal(size=(4, 2, 3, 3)).astype(np.float32),
    v=RNG.normal(size=(64, 8)).astype(np.float32),
    # One weight so large that the scale of the whole product is too coarse for the others.
    u=np.where(np.arange(512).reshape(64, 8) == 0, 60, RNG.normal(-0.2, 0.2, (64, 8))).astype(np.float32),
    hundred=np.float32(1000.0),
)
READER = onnx_text(
    "g (float[N,2,6,6] x) => (float[N,36,5] y) { c = Conv (x, w) f = Reshape (c, s) t = Transpose <perm = [0, 2, 1]> (f) "
    "y = Softmax <axis = -1> (t) }",
    w=RNG.normal(size=(5, 2, 1, 1)).astype(np.float32),
    s=np.array([-1, 5, 36]),
)


def job(folder: Path, model: Any, **options: Any) -> AccAutoResult:
    np.savez(folder / "data.npz", x=X)
    chosen = {"target_loss": 60.5, "metric": Sqnr(), "observer": MinMax(), "calibration_count": 8} | options
    path = save(model, folder / "net.onnx")
    return acc_auto(path, NpzDataset(str(folder / "data.npz")), folder / "out", AccAutoOptions(**chosen))


def outputs(path: Path) -> list[np.ndarray]:
    """Return each output of a model over all items, run by plain onnxruntime."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [np.concatenate(each) for each in zip(*(session.run(None, {"x": row[None]}) for row in X), strict=True)]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> AccAutoResult:
    return job(tmp_path_factory.mktemp("detector"), DETECTOR)


def rows(result: AccAutoResult) -> list[str]:
    """Return what the terminal shows, with single spaces."""
    return [" ".join(line.split()) for line in rows_of(result)]


def written(result: AccAutoResult) -> Path:
    return result.folder.root / "results" / "net_fake_quant_model.onnx"


def test_worst_output_is_the_figure_and_every_output_is_told(detector: AccAutoResult) -> None:
    summary = summary_of(detector)
    before, after = outputs(detector.folder.root.parent / "net.onnx"), outputs(written(detector))
    wide = [[a.astype(np.float64) for a in each] for each in (before, after)]
    db = [10 * math.log10(np.sum(f**2) / np.sum((f - q) ** 2)) for f, q in zip(wide[0][:2], wide[1][:2], strict=True)]
    mse = [np.mean((f - q) ** 2) for f, q in zip(wide[0][:2], wide[1][:2], strict=True)]
    differing = float(np.mean(before[2] != after[2]))
    assert db[1] < db[0] - 5
    told = summary["outputs"]
    assert list(told) == ["boxes", "scores", "best"]
    for name, ratio, error in zip(("boxes", "scores"), db, mse, strict=True):
        assert told[name] == {"sqnr_db": pytest.approx(ratio, abs=0.05), "mse": pytest.approx(error, rel=0.02)}
    expected = min(-10 * math.log10(differing), 60.0) if differing else 60.0
    assert told["best"] == {"sqnr_db": pytest.approx(expected), "mse": differing, "differing": differing}
    worst = min(db[1], expected)
    assert summary["quantized_metric"] == summary["sqnr_db"] == pytest.approx(worst, abs=0.05)
    assert summary["loss"] == pytest.approx(60 - worst, abs=0.05)
    assert tracked_of(detector)["outputs/scores/sqnr_db"] == told["scores"]["sqnr_db"]


def test_terminal_and_page_show_a_table_of_outputs_the_worst_first(detector: AccAutoResult) -> None:
    told = summary_of(detector)["outputs"]
    worst = min(told, key=lambda name: told[name]["sqnr_db"])
    said = f"{worst}, {told[worst]['sqnr_db']:.1f} dB"
    assert f"worst output {said}" in rows(detector)
    page = page_of(detector)
    assert f"The output furthest from the float model&#39;s is {said}." in page
    table = page[page.index(">Outputs</h2>") :]
    table = table[: table.index("</table>")]
    order = sorted(told, key=lambda name: told[name]["sqnr_db"])
    assert [table.index(f">{name}<") for name in order] == sorted(table.index(f">{name}<") for name in order)


def test_named_output_decides_alone_beside_the_figure_of_all(tmp_path: Path) -> None:
    result = job(tmp_path, DETECTOR, metric=Sqnr(output="boxes"))
    summary = summary_of(result)
    told = summary["outputs"]
    assert list(told) == ["boxes", "scores", "best"]
    assert summary["quantized_metric"] == summary["sqnr_db"] == told["boxes"]["sqnr_db"]
    lowest = min(output["sqnr_db"] for output in told.values())
    assert summary["metrics"]["sqnr_all"] == {"float": 60.0, "quantized": lowest} and lowest < told["boxes"]["sqnr_db"]


def test_mean_squared_error_is_that_of_the_worst_output(tmp_path: Path) -> None:
    result = job(tmp_path, DETECTOR, metric=Mse(), target_loss=1e12)
    summary = summary_of(result)
    assert summary["quantized_metric"] == pytest.approx(max(output["mse"] for output in summary["outputs"].values()))


def test_target_that_pooling_would_meet_is_missed_by_the_worst_output(tmp_path: Path, detector: AccAutoResult) -> None:
    before, after = outputs(detector.folder.root.parent / "net.onnx"), outputs(written(detector))
    floats, errors = (
        np.concatenate([a.astype(np.float64).ravel() for a in arrays])
        for arrays in (before[:2], [b - a for a, b in zip(before[:2], after[:2], strict=True)])
    )
    pooled = 60 - 10 * math.log10(np.sum(floats**2) / np.sum(errors**2))
    loss = summary_of(detector)["loss"]
    target = (pooled + loss) / 2
    assert pooled < target < loss
    result = job(tmp_path, DETECTOR, target_loss=target)
    assert result.fallback and not result.search.trials[0].accepted


def test_classes_at_many_positions_agree_position_by_position(tmp_path: Path) -> None:
    result = job(tmp_path, READER, metric=Agreement(), target_loss=50.0)
    summary = summary_of(result)
    (before,), (after,) = outputs(tmp_path / "net.onnx"), outputs(written(result))
    same = float(np.mean(before.argmax(-1) == after.argmax(-1)))
    assert 0.9 < same < 1
    assert summary["agreement"] == pytest.approx(same, abs=2 / (24 * 36))
    assert summary["loss"] == pytest.approx(100 * (1 - summary["agreement"]))
    assert f"agreement {summary['agreement']:.2%} of positions as before" in rows(result)
    assert summary["loss_interval"]["method"] == "bootstrap_t" and summary["loss_interval"]["low"] == 0.0
    # One of 864 positions is 0.116 points: it is positions that resolve a target, not the 24 items.
    assert not any("cannot resolve" in warning for warning in result.warnings)


def test_target_finer_than_one_position_is_told(tmp_path: Path) -> None:
    result = job(tmp_path, READER, metric=Agreement(), target_loss=0.1)
    assert any(
        warning
        == "864 evaluation positions cannot resolve target_loss=0.1: one position is 0.116 percentage points, so the "
        "target forgives no net loss at all; 1001 positions or more would."
        for warning in result.warnings
    ), result.warnings
