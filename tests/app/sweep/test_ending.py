"""What a sweep says at its end, read from its jobs' folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.app.held_folder import held
from runner.app.sweep.ending import swept
from runner.app.sweep.outcome import sweep_status
from runner.app.sweep.plan import planned
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
