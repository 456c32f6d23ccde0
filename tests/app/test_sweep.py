"""What a sweep says at its end, read from its jobs' folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from runner.app.sweep import SweepReport, sweep_jobs, sweep_status


def job(folder: Path, events: Iterable[dict[str, Any]], summary: dict[str, Any] | None = None) -> None:
    """Write a job's folder as a job leaves it."""
    (folder / ".hydra").mkdir(parents=True)
    lines = [json.dumps(event) + "\n" for event in events]
    if lines:
        (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def finished(status: str, exit_status: int) -> list[dict[str, Any]]:
    """Return the events of a job with a result."""
    return [{"event": "JobStarted"}, {"event": "JobFinished", "status": status, "exit_status": exit_status}]


def failed(message: str, exit_status: int) -> list[dict[str, Any]]:
    """Return the events of a job that failed."""
    return [{"event": "JobStarted"}, {"event": "JobFailed", "message": message, "exit_status": exit_status}]


def test_jobs_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        job(tmp_path / f"{number}_seed={number}", finished("met", 0), {"loss": number})
    jobs = sweep_jobs(tmp_path)
    assert [one["label"] for one in jobs] == ["0_seed=0", "2_seed=2", "10_seed=10"]
    assert [one["summary"]["loss"] for one in jobs] == [0, 2, 10]


def test_failed_job_is_told_with_its_message_and_without_an_older_summary(tmp_path: Path) -> None:
    job(tmp_path / "0_a", failed("model.path: absent", 2), {"loss": 1})
    assert sweep_jobs(tmp_path) == [
        {"label": "0_a", "status": "failed", "exit_status": 2, "summary": None, "note": "model.path: absent"}
    ]


@pytest.mark.parametrize("events", [[], [{"event": "JobStarted"}, {"event": "StageStarted"}]], ids=["none", "some"])
def test_job_that_was_killed_is_a_failure(events: list[dict[str, Any]], tmp_path: Path) -> None:
    job(tmp_path / "0_a", events)
    (one,) = sweep_jobs(tmp_path)
    assert (one["status"], one["exit_status"], one["note"]) == ("failed", 1, "ended without a result")


def test_folders_and_files_that_are_no_jobs_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".submitit").mkdir()
    (tmp_path / "multirun.yaml").write_text("", encoding="utf-8")
    job(tmp_path / "0_a", finished("met", 0), {})
    assert [one["label"] for one in sweep_jobs(tmp_path)] == ["0_a"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [([], 0), ([0, 0], 0), ([0, 3], 0), ([3, 3], 0), ([0, 2], 5), ([1, 0], 5), ([4], 5), ([130], 5)],
)
def test_status_of_a_sweep_is_5_where_a_job_failed_and_a_missed_target_is_no_failure(
    statuses: list[int], status: int
) -> None:
    assert sweep_status([{"exit_status": one} for one in statuses]) == status


def test_callback_keeps_the_folder_of_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SweepReport, "folder", None)
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": "/sweeps/now"}}}))
    assert SweepReport.folder == Path("/sweeps/now")
