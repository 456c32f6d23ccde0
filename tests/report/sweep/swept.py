"""Sweeps with chosen outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.report.sweep.swept import Sweep, SweptJob

FOLDER = Path("/results/sweeps/friday")
STATUSES = {
    "met": 0,
    "converted": 0,
    "not_met": 3,
    "budget": 6,
    "failed": 2,
    "interrupted": 130,
    "running": None,
    "not run": None,
}


def job(number: int, status: str = "met", loss: float = 0.5, share: float = 1.0, **varied: str) -> SweptJob:
    """Return a job that ended in some way."""
    told = status in ("met", "not_met", "converted", "budget")
    summary: dict[str, Any] = {
        "model": "net",
        "dataset": "eval",
        "loss": loss,
        "float_metric": 99.0,
        "quantized_metric": 99.0 - loss,
        "layers_int8": round(26 * share),
        "layers_total": 26,
        "macs_int8_share": share,
        "seconds": {"total": 12.34},
    }
    return SweptJob(
        number=number,
        folder=f"{number}_job",
        varied=varied,
        status=status,
        exit_status=STATUSES[status],
        reason="model.path: absent.onnx does not exist" if status == "failed" else "",
        summary=summary if told else {},
        report=f"{number}_job/report.html" if told else "",
    )


def sweep(*jobs: SweptJob) -> Sweep:
    """Return the sweep of jobs."""
    return Sweep(FOLDER, list(dict.fromkeys(key for one in jobs for key in one.varied)), jobs)
