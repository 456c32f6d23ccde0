"""The benchmarks' own parts, without a clock: what is generated, what peers are given, how figures are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks import accuracy
from benchmarks.cases import Case
from benchmarks.generated import images, network
from benchmarks.job import load
from benchmarks.process import python
from benchmarks.row import Row, best_of, ours
from benchmarks.score import int8_operations, score
from benchmarks.table import comparison, markdown


@pytest.fixture
def generated(tmp_path: Path) -> Case:
    """A small generated model with data."""
    model = network(tmp_path / "net.onnx", layers=2, channels=4)
    x, y = images(tmp_path, 6)
    given = ("model=file", f"model.path={model}", "dataset=npy", f"dataset.path={x}", f"dataset.labels={y}")
    return Case("generated", given)


def test_a_generated_network_runs_and_has_its_layers(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", layers=5, channels=7, size=8, classes=4)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"x": np.ones((2, 3, 8, 8), np.float32)})
    assert scores.shape == (2, 4) and np.isfinite(scores).all()
    assert path.read_bytes().count(b"conv") >= 5


def test_peers_are_given_the_items_that_the_job_evaluates(generated: Case) -> None:
    material = load([*generated.options, "evaluation.count=3", "calibration.count=2"])
    x = np.load(str(material.job.dataset.path))  # type: ignore[attr-defined]
    assert [np.array_equal(feed["x"][0], x[index]) for feed, index in zip(material.feeds, (0, 2, 4), strict=True)] == [
        True
    ] * 3
    assert material.labels == [0, 2, 4] and len(material.calibration) == 2


def test_the_float_model_agrees_with_itself(generated: Case) -> None:
    material = load(generated.options)
    figures = score(material.job.model.path, material)
    assert (figures.agreement, figures.kl, figures.sqnr_db) == (100.0, 0.0, 60.0)
    assert figures.top1 == figures.float_top1
    assert int8_operations(material.job.model.path) == 0


def test_our_row_is_read_from_the_summary(generated: Case) -> None:
    row = ours(generated, "target_loss=100", "calibration.count=2", "observer=minmax")
    assert row.note == "3 of 3 layers, met" and row.int8 == 3
    assert row.seconds > 0 and row.peak_mib > 20 and row.float_seconds is not None


def test_a_failed_run_is_a_row_that_says_why() -> None:
    row = ours(Case("none", ("model=file", "model.path=/nowhere/net.onnx")))
    assert row.note.startswith("failed (2): error: model.path") and row.full is None


def test_a_process_ends_with_its_status_and_output() -> None:
    ended = python(["-c", "import sys; x = bytearray(50_000_000); print('hello'); sys.exit(3)"])
    assert (ended.status, ended.output) == (3, "hello\n")
    assert ended.peak_mib > 50


def test_ratios_are_taken_from_the_reference_row() -> None:
    own = Row("net", "runner", 10.0, 100.0, 2, 0, 88.0, 0.1, 0.001, 0.99, 53, float_seconds=4.0)
    text = comparison([own, Row("net", "peer", 45.0, 200.0, note="slow")], own)
    assert text.splitlines()[3] == (
        "| peer   | 45.0   | 11.2 | 4.50  |                | 200      |       |      |       |           |      | slow |"
    )


def test_several_runs_are_told_by_the_least_and_the_median() -> None:
    runs = [Row("net", "peer", seconds, peak, 2, 0) for seconds, peak in ((12.0, 90.0), (10.0, 100.0), (11.5, 95.0))]
    best = best_of(runs)
    assert (best.seconds, best.median, best.peak_mib) == (10.0, 11.5, 100.0)
    assert "| 10.0 / 11.5 |" in comparison([best], Row("net", "runner", 5.0, 1.0, float_seconds=1.0))
    failed = Row("net", "peer", 1.0, 1.0, note="failed (2): error")
    assert best_of([runs[0], failed]) is failed
    assert best_of(runs[:1]) == runs[0]


def test_a_table_keeps_its_columns() -> None:
    assert markdown(["a", "long"], [["wide cell", "b"]]).splitlines() == [
        "| a         | long |",
        "| --------- | ---- |",
        "| wide cell | b    |",
    ]


def test_models_with_residual_adds_have_rows_with_the_adds_quantized(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[str, ...]] = {}

    def made(case: Case, *options: str, label: str) -> Row:
        asked[label] = options
        return Row(case.name, label, 1.0, 1.0)

    monkeypatch.setattr(accuracy, "ours", made)
    monkeypatch.setattr(accuracy, "peer", lambda case, tool, *options: made(case, *options, label=tool))
    accuracy.rows_of(Case("kws_float", ()), [], ablation=False)
    assert not any("adds" in label for label in asked)
    rows = accuracy.rows_of(Case("resnet20", ()), ["evaluation.count=3"], ablation=False)
    assert [row.tool for row in rows[3:6]] == ["quant=amct, adds", "quant=fast, adds", "quant=best, adds"]
    assert set(asked["quant=fast, adds"]) == {*asked["quant=fast"], "tensor_quantize=adds"} >= {"evaluation.count=3"}
