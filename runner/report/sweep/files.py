"""The files of a sweep in its folder: for a spreadsheet, for programs, to look at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.printable import escaped_json
from runner.report.sweep.page import sweep_page
from runner.report.sweep.swept import RULE, Sweep, SweptJob
from runner.spreadsheet import harmless
from runner.whole_file import write_atomically

CSV, JSON, HTML = "sweep.csv", "sweep.json", "sweep.html"
# Of a job's summary, in the order of the columns.
_FIGURES = (
    *("loss", "target_loss", "target_met", "target_verdict", "float_metric", "quantized_metric", "agreement"),
    *("layers_int8", "layers_total", "macs_int8_share", "samples", "model", "dataset", "config_sha256"),
)


def write_sweep(sweep: Sweep, plan: Mapping[str, Any]) -> None:
    """Write ``sweep.csv``, ``sweep.json`` and ``sweep.html`` into the sweep's folder.

    Args:
        sweep: what came of its jobs.
        plan: what ``sweep.json`` already says of it, which stays.
    """
    for name, text in ((CSV, sweep_csv(sweep)), (JSON, sweep_json(sweep, plan)), (HTML, sweep_page(sweep))):
        _write(sweep.folder / name, text)


def sweep_csv(sweep: Sweep) -> str:
    """Return a row a job: its number, folder, what it varies, how it ended, its figures; the best one says so."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["job", "folder", *map(harmless, sweep.keys), "status", "best", *_FIGURES, "seconds", "report", "reason"]
    )
    for job in sweep.jobs:
        told = figures(job)
        cells: Sequence[Any] = [
            job.number,
            job.folder,
            *(job.varied.get(key, "") for key in sweep.keys),
            job.status,
            "best" if job is sweep.best else "",
            *(told.get(name, "") for name in _FIGURES),
            "" if job.seconds is None else job.seconds,
            job.report,
            job.reason,
        ]
        writer.writerow(map(harmless, cells))
    return stream.getvalue()


def sweep_json(sweep: Sweep, plan: Mapping[str, Any]) -> str:
    """Return the plan with what came of each job."""
    planned = {job["number"]: job for job in plan["jobs"]}
    jobs = [{**planned.get(job.number, {}), **_job(job)} for job in sweep.jobs]
    best = None if sweep.best is None else sweep.best.number
    told = {**plan, "best": best, "rule": RULE, "jobs": jobs}
    return escaped_json(json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False))


def figures(job: SweptJob) -> dict[str, Any]:
    """Return the figures of a job that sweeps are compared by."""
    return {name: job.summary[name] for name in _FIGURES if name in job.summary}


def _job(job: SweptJob) -> dict[str, Any]:
    ended = {"status": job.status, "exit_status": job.exit_status, "reason": job.reason, "report": job.report}
    head = {"number": job.number, "folder": job.folder, "varied": dict(job.varied)}
    return {**head, **ended, **figures(job), "seconds": job.seconds}


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda aside: aside.write_bytes(text.encode("utf-8", "backslashreplace")))
