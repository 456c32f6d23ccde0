"""The process beside a job: what it reads, and what it says of an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.app.tracking.follow import Tail, _reason
from tests.app.tracking.conftest import EVENTS, job_folder


def test_events_are_read_as_they_come_and_none_before_its_line_is_whole(tmp_path: Path) -> None:
    whole = (job_folder(tmp_path / "whole", EVENTS) / "events.jsonl").read_bytes()
    folder = tmp_path / "job"
    tail = Tail(folder)
    assert not tail.more()  # not there yet
    folder.mkdir()
    told = []
    for end in range(0, len(whole) + 7, 7):
        (folder / "events.jsonl").write_bytes(whole[:end])
        tail.more()
        told.append(len(tail.events))
        assert len(tail.events) == whole[:end].count(b"\n")
    assert [event["event"] for event in tail.events] == [type(event).__name__ for event in EVENTS]
    assert not tail.more()


def test_line_that_is_no_event_ends_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"time": 1, "event": "A"}\n\xff\xfe\n{"time": 1, "event": "B"}\n')
    tail = Tail(tmp_path)
    assert tail.more() and not tail.more()
    assert tail.events == [{"time": 1, "event": "A"}]


def _chain(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            _chain(RuntimeError("API request failed"), ConnectionRefusedError(111, "Connection refused")),
            "Connection refused",
        ),
        (
            RuntimeError("(raised as a result of autoflush)\n(sqlite3.OperationalError) read-only"),
            "(sqlite3.OperationalError) read-only",
        ),
        (RuntimeError(""), "RuntimeError"),
        (RuntimeError("x" * 400), "x" * 299 + "…"),
        (
            _chain(RuntimeError("engine"), ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")),
            "No module named 'psycopg2'; pip install 'onnx-quant-runner[postgres]', and write the address as postgresql+psycopg2://…",
        ),
    ],
)
def test_reason_is_what_is_behind_an_error(error: Exception, reason: str) -> None:
    assert _reason(error) == reason
