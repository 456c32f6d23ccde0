"""What the benchmark of interruptions reads from a job's folder; the seconds are its own affair."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.interrupting import left_in, stage_of
from runner.app.journal import Journal
from runner.events import StageFinished, StageStarted
from runner.job_folder import JobFolder


@pytest.mark.parametrize(
    ("events", "stage"),
    [
        ([], "start"),
        ([StageStarted("load")], "load"),
        ([StageStarted("load"), StageFinished("load", 0.1)], "after load"),
        ([StageFinished("load", 0.1), StageStarted("calibrate", 5, "corrections")], "calibrate corrections"),
    ],
    ids=["nothing yet", "in a stage", "between two", "with a detail"],
)
def test_stage_is_the_last_one_told(tmp_path: Path, events: list[object], stage: str) -> None:
    journal = Journal(tmp_path)
    for event in events:
        journal(event)
    journal.close()
    assert stage_of(tmp_path) == stage


def test_what_a_folder_holds_is_held_against_its_manifest(tmp_path: Path) -> None:
    assert left_in(tmp_path) == "no model, no summary"
    folder = JobFolder(tmp_path)
    folder.write_json("summary.json", {"status": "interrupted"})
    folder.finish()
    assert left_in(tmp_path) == "no model, interrupted"
    path = folder.write_text("results/net_deploy_model.onnx", "model")
    folder.finish()
    assert left_in(tmp_path) == "a model pair, interrupted"
    path.write_text("another")
    assert left_in(tmp_path) == "UNSOUND"
