"""Events are plain values: one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from runner import events
from runner.events import Event, ignore, to_json

EVENTS: list[tuple[Event, dict]] = [
    (
        events.JobStarted("digits", {"target_loss": 0.2, "name": None}, {"metric": {"k": [1]}}, {"version": "1"}),
        {
            "label": "digits",
            "params": {"target_loss": 0.2, "name": None},
            "config": {"metric": {"k": [1]}},
            "tags": {"version": "1"},
        },
    ),
    (events.StageStarted("rank", 100), {"stage": "rank", "total": 100, "detail": ""}),
    (events.StageAdvanced("rank", 3), {"stage": "rank", "done": 3, "total": None}),
    (events.StageFinished("rank", 0.5), {"stage": "rank", "seconds": 0.5}),
    (events.WorkAhead(700, 300), {"items": 700, "likely": 300}),
    (
        events.TrialFinished(1, 71.5, 0.3, False, 51, ("a", "b"), 64),
        {
            "step": 1,
            "value": 71.5,
            "loss": 0.3,
            "accepted": False,
            "int8_layers": 51,
            "fallback": ["a", "b"],
            "settled_after": 64,
        },
    ),
    (events.Warned("look"), {"message": "look"}),
    (events.ModelUsed("net", "cd34"), {"name": "net", "sha256": "cd34"}),
    (
        events.DataUsed("flowers", "evaluation", 1000, "ab12"),
        {"name": "flowers", "context": "evaluation", "items": 1000, "fingerprint": "ab12"},
    ),
    (
        events.JobFinished("met", 0, {"loss": 0.1}, ("a.onnx",), "**met**"),
        {"status": "met", "exit_status": 0, "metrics": {"loss": 0.1}, "files": ["a.onnx"], "told": "**met**"},
    ),
    (events.JobFailed("ModelError", "no file", 2), {"kind": "ModelError", "message": "no file", "exit_status": 2}),
]


@pytest.mark.parametrize(("event", "fields"), EVENTS, ids=[type(event).__name__ for event, _ in EVENTS])
def test_event_is_one_line_of_json_that_says_its_kind(event: Event, fields: dict) -> None:
    line = json.dumps(to_json(event), allow_nan=False)
    assert "\n" not in line
    assert json.loads(line) == {"event": type(event).__name__, **fields}


def test_every_kind_of_event_is_in_the_table_above() -> None:
    assert {type(event) for event, _ in EVENTS} == set(events.Event.__args__)


def test_events_do_not_change_and_ignoring_them_does_nothing() -> None:
    event = events.Warned("look")
    with pytest.raises(FrozenInstanceError):
        event.message = "away"
    assert ignore(event) is None
