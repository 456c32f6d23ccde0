"""What a sweep says at its end, read from its jobs' folders."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.app.held_folder import held
from runner.app.sweep import ending, report
from runner.app.sweep.callback import Begun
from runner.app.sweep.ending import swept
from runner.app.sweep.outcome import sweep_status
from runner.app.sweep.plan import planned
from runner.report.sweep import files
from tests.app.sweep.sweeps import failed, finished, job_folder, started

PLAN = planned(["seed=0,1,2"], ["seed"], [{"seed": str(seed)} for seed in range(3)], 1.0)


def test_jobs_are_told_as_planned_with_what_came_of_each(tmp_path: Path) -> None:
    job_folder(tmp_path / "0_seed=0", finished("met", 0), {"loss": 1})
    job_folder(tmp_path / "1_seed=1", failed("model.path: absent", 2), {"loss": 7})
    (tmp_path / ".submitit").mkdir()
    sweep = swept(tmp_path, PLAN)
    assert [(job.number, job.status, job.exit_status, job.reason) for job in sweep.jobs] == [
        (0, "met", 0, ""),
        (1, "failed", 2, "model.path: absent"),
        (2, "not run", None, ""),
    ]
    assert [job.loss for job in sweep.jobs] == [1, None, None]  # an earlier job's summary is no result of this one
    assert sweep.keys == ["seed"]


STARTED = [started(), {"time": 2.0, "event": "StageStarted", "stage": "load"}]


def test_job_whose_process_was_killed_is_a_failure_unless_the_sweep_was_interrupted(tmp_path: Path) -> None:
    job_folder(tmp_path / "0_seed=0", STARTED)
    assert swept(tmp_path, PLAN).jobs[0].reason == (
        "ended without a result: its process was killed, or its machine stopped"
    )
    assert [job.status for job in swept(tmp_path, PLAN, interrupted=True).jobs] == ["interrupted", "not run", "not run"]


def test_job_that_is_still_at_work_is_no_failure(tmp_path: Path) -> None:
    job_folder(tmp_path / "0_seed=0", STARTED)
    with held(tmp_path / "0_seed=0", ""):
        assert swept(tmp_path, PLAN).jobs[0].status == "running"


def test_jobs_that_a_sweeper_made_up_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        start = started(**{"sweep.varied": json.dumps({"a": f"{number}"})})
        job_folder(tmp_path / f"{number}_a={number}", [start, *finished("met", 0)[1:]], {"loss": number})
    sweep = swept(tmp_path, planned(["a=interval(0,1)"], ["a"], None, 1.0))
    assert [(job.number, job.loss, job.varied) for job in sweep.jobs] == [(n, n, {"a": str(n)}) for n in (0, 2, 10)]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        *[([], 0), ([0, 0], 0), ([0, 3], 0), ([3, 3], 3), ([0, 6], 0), ([3, 6], 6), ([6], 6)],
        *[([0, 2], 5), ([1, 0], 5), ([4], 5), ([130], 5), ([0, None], 5), ([3, 1], 5)],
    ],
)
def test_status_of_a_sweep(statuses: Sequence[int | None], status: int) -> None:
    assert sweep_status(statuses) == status


def test_table_is_printed_where_its_files_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    job_folder(tmp_path / "0_seed=0", finished("met", 0), {"loss": 1})
    monkeypatch.setattr(ending, "write_sweep", full)
    assert ending.end_sweep(Begun(tmp_path, PLAN, None), interrupted=False) == sweep_status([0, None, None])
    told = capsys.readouterr()
    assert "met" in told.out and "sweep of 3 jobs" in told.out
    assert told.err.count("\n") == 1 and told.err.startswith(f"warning: the sweep's table is not in {tmp_path}")
    (tmp_path / "sweep.json").write_text(json.dumps(PLAN.to_json()))
    monkeypatch.setattr(files, "write_sweep", full)
    assert report.main([str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert "sweep of 3 jobs" in told.out and told.err.startswith("error: the sweep's files are not written again")
