"""The end of a sweep: one table of all jobs, and one exit status.

Hydra calls ``SweepReport``; what is told is read from the jobs' folders, so it does not matter which process ran them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from runner.app.journal import read_events

# A job that ends with one of these has a result; a missed target or a spent budget is no failure of a sweep.
_NO_FAILURE = (0, 3, 6)
FAILED_SWEEP = 5


class SweepReport(Callback):
    """Remembers the sweep's folder when all jobs have ended."""

    folder: Path | None = None

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 - Hydra's signature
        """Keep the folder for the report."""
        SweepReport.folder = Path(config.hydra.sweep.dir)


def sweep_jobs(folder: Path) -> list[dict[str, Any]]:
    """Return label, status, exit status, summary and note of each job below a sweep's folder, in the jobs' order."""
    jobs = []
    for job in sorted((p for p in folder.iterdir() if p.is_dir()), key=_number):
        events = list(read_events(job))
        if not events and not (job / ".hydra").is_dir():
            continue
        last = events[-1] if events else {}
        failed = last.get("event") != "JobFinished"
        path = job / "summary.json"
        jobs.append(
            {
                "label": job.name,
                "status": "failed" if failed else last["status"],
                "exit_status": last.get("exit_status", 1),
                "summary": json.loads(path.read_text(encoding="utf-8")) if path.is_file() and not failed else None,
                "note": last.get("message", "ended without a result") if failed else "",
            }
        )
    return jobs


def sweep_status(jobs: Sequence[Mapping[str, Any]]) -> int:
    """Return the sweep's exit status: 0, or 5 when a job failed."""
    return 0 if all(job["exit_status"] in _NO_FAILURE for job in jobs) else FAILED_SWEEP


def _number(path: Path) -> tuple[int, str]:
    head = path.name.partition("_")[0]
    return (int(head) if head.isdigit() else 1 << 30, path.name)
