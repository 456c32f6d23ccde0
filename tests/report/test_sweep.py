"""The table of a sweep: what a user reads, whatever the names hold."""

from __future__ import annotations

from typing import Any

from runner.report.sweep import sweep_table
from tests.told import printed


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_sweep_has_a_row_a_job_with_figures_or_the_reason() -> None:
    summary = {
        "layers_int8": 25,
        "layers_total": 26,
        "loss": 0.125,
        "quantized_metric": 98.75,
        "float_metric": 98.875,
        "seconds": {"total": 12.34},
    }
    jobs: list[dict[str, Any]] = [
        {"label": "0_target_loss=0.2", "status": "met", "summary": summary, "note": ""},
        {
            "label": "1_model.path=a",
            "status": "failed",
            "summary": None,
            "note": "resize: expected [height, width] :no:",
        },
    ]
    lines = printed(sweep_table(jobs))
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert rows == [
        ["0_target_loss=0.2", "met", "0.125", "25 of 26", "98.75", "98.88", "12.3"],
        ["1_model.path=a", "failed", "", "", "", "", ""],
    ]
    assert lines[-1] == "1_model.path=a: resize: expected [height, width] :no:"


def test_narrow_terminal_loses_no_letter_of_a_label_or_reason() -> None:
    label, note = "0_calibration.count=4,target_loss=0.2", "model.path: absent.onnx does not exist"
    jobs = [{"label": label, "status": "failed", "summary": None, "note": note}]
    lines = printed(sweep_table(jobs), width=80)
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert "".join(row[0] for row in rows) == label
    assert lines[-1] == f"{label}: {note}"
