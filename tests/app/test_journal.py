"""``events.jsonl``: what was said is on disk at once, and a line that was cut off is no harm."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runner.app.journal import Journal, read_events
from runner.errors import OutputError
from runner.events import JobFailed, StageAdvanced, StageFinished, StageStarted, TrialFinished


def test_events_are_read_back_in_order_with_their_times(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "job")
    before = time.time()
    journal(StageStarted("load"))
    journal(StageFinished("load", 0.5))
    journal.close()
    first, second = read_events(tmp_path / "deep" / "job")
    assert {key: first[key] for key in first if key != "time"} == {
        "event": "StageStarted",
        "stage": "load",
        "total": 0,
        "detail": "",
    }
    assert (second["event"], second["seconds"]) == ("StageFinished", 0.5)
    assert before - 0.001 <= first["time"] <= second["time"] <= time.time() + 0.001


def test_an_event_is_on_disk_before_the_journal_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal(TrialFinished(0, 99.0, 0.5, False, 3, ("a", "b")))
    (event,) = read_events(tmp_path)
    assert event["fallback"] == ["a", "b"]
    journal.close()


def test_progress_within_a_stage_is_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal(StageAdvanced("search", 3))
    journal.close()
    assert (tmp_path / "events.jsonl").read_text(encoding="utf-8") == ""


def test_text_of_any_script_and_paths_are_kept_on_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal(JobFailed("ModelError", "模型\nsecond line", 2))
    journal.close()
    (line,) = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert "模型" in line
    assert json.loads(line)["message"] == "模型\nsecond line"


STARTED = '{"time": 1, "event": "StageStarted", "stage": "load"}\n'


def test_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(STARTED + '{"event": "Stag', encoding="utf-8")
    assert [event["event"] for event in read_events(tmp_path)] == ["StageStarted"]


def test_line_nested_too_deeply_ends_the_events(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(STARTED + "[" * 100_000 + "\n", encoding="utf-8")
    assert [event["event"] for event in read_events(tmp_path)] == ["StageStarted"]


def test_folder_without_a_journal_has_no_events(tmp_path: Path) -> None:
    assert list(read_events(tmp_path)) == []


def test_next_job_starts_afresh(tmp_path: Path) -> None:
    for stage in ("load", "search"):
        journal = Journal(tmp_path)
        journal(StageStarted(stage))
        journal.close()
    assert [event["stage"] for event in read_events(tmp_path)] == ["search"]


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        Journal(tmp_path / "taken" / "job")
    assert str(caught.value) == (
        f"paths.output: {tmp_path}/taken/job cannot be written: Not a directory. Set paths.output to a folder that can."
    )
