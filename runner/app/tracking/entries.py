"""What a job's events say, as a tracker keeps it: a name, options, tags, numbers, a description. All of it plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Event = Mapping[str, Any]

# MLflow's limits. A tag may hold 8000 characters, but one such is no label any more.
LONGEST_PARAM, LONGEST_TAG, LONGEST_NAME = 6000, 500, 250
_NO_NAME = re.compile(r"[^\w./ :-]")
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"


@dataclass(frozen=True, slots=True)
class Point:
    """A number at a step: milliseconds since 1970, and the plan's number, or 0."""

    name: str
    value: float
    time: int
    step: int


def first(events: Iterable[Event], kind: str) -> Event | None:
    """Return the first event of a kind."""
    return next((event for event in events if event["event"] == kind), None)


def job_id(events: Sequence[Event]) -> str | None:
    """Return what names the job for ever, however often it is logged."""
    started = first(events, "JobStarted") or {}
    own: str | None = started.get("tags", {}).get("job")
    return own


def run_name(events: Sequence[Event], folder: str) -> str:
    """Return what a list shows: what the sweep varied, else the job's label, else its folder."""
    started = first(events, "JobStarted") or {}
    return short(started.get("tags", {}).get("varied") or started.get("label") or folder)


def params(events: Sequence[Event]) -> tuple[dict[str, str], list[str]]:
    """Return all options, and the names of those whose value does not fit and is cut."""
    started = first(events, "JobStarted") or {}
    kept: dict[str, str] = {}
    cut = []
    for name, value in started.get("params", {}).items():
        text = _text(value)
        key = _unused(_name(name), kept)
        kept[key] = text if len(text) <= LONGEST_PARAM else text[: LONGEST_PARAM - 1] + "…"
        if len(text) > LONGEST_PARAM:
            cut.append(key)
    return kept, cut


def tags(events: Sequence[Event]) -> dict[str, str]:
    """Return all tags but those of the run's end."""
    started = first(events, "JobStarted") or {}
    found = {_name(key): short(value) for key, value in started.get("tags", {}).items()}
    _, cut = params(events)
    if cut:
        found["params_cut"] = short(f"{', '.join(cut)}: whole in events.jsonl")
    for event in events:
        if event["event"] == "ModelUsed":
            found["model.sha256"] = event["sha256"]
        elif event["event"] == "DataUsed":
            found[f"dataset.{event['context']}.fingerprint"] = event["fingerprint"]
    return found


def end_tags(events: Sequence[Event]) -> dict[str, str]:
    """Return the tags that a job's end gives."""
    failure, finished = first(events, "JobFailed"), first(events, "JobFinished")
    found: dict[str, str] = {}
    if failure is not None:
        found |= {"error": short(failure["message"]), "error_kind": failure["kind"]}
    if finished is not None:
        found["status"] = finished["status"]
    return found


def status(events: Sequence[Event]) -> str:
    """Return how a job that has ended did: one without a word of its end was killed."""
    failure, finished = first(events, "JobFailed"), first(events, "JobFinished")
    if finished is not None:
        return KILLED if finished["status"] == "interrupted" else FINISHED
    return FAILED if failure is not None and failure["kind"] != "KeyboardInterrupt" else KILLED


def trial_points(events: Iterable[Event]) -> Iterator[Point]:
    """Yield the numbers of each plan tried."""
    for event in events:
        if event["event"] == "TrialFinished":
            time, step = milliseconds(event["time"]), int(event["step"])
            for key in ("loss", "value", "int8_layers", "accepted"):
                yield Point(f"trial/{key}", float(event[key]), time, step)


def result_points(events: Sequence[Event]) -> list[Point]:
    """Return the numbers of the result, the headline first."""
    finished = first(events, "JobFinished")
    if finished is None:
        return []
    return [Point(name, float(v), milliseconds(finished["time"]), 0) for name, v in finished["metrics"].items()]


def description(events: Sequence[Event], page: str) -> str:
    """Return a run's description in markdown: the result in a sentence, and links to what there is to read.

    Args:
        events: of the job.
        page: the address of the run's artifacts.
    """
    failure, finished = first(events, "JobFailed"), first(events, "JobFinished")
    if finished is None:
        return f"**{failure['kind']}**: {failure['message']}" if failure is not None else "The job was killed."
    links = [f"[{text}]({page}/{name})" for name, text in _links(finished["files"])]
    return "\n\n".join(part for part in (finished.get("told", ""), " · ".join(links)) if part)


def _links(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, text in (("report.html", "report"), ("summary.json", "summary"), ("flips.csv", "changed answers")):
        if name in files:
            yield name, text
    for name in files:
        if name.endswith(".onnx"):
            yield name, name.rpartition("/")[2]


def milliseconds(seconds: float) -> int:
    """Return a time of an event as MLflow has it."""
    return int(seconds * 1000)


def short(value: Any) -> str:  # noqa: ANN401
    """Return a value as a label."""
    text = _text(value)
    return text if len(text) <= LONGEST_TAG else text[: LONGEST_TAG - 1] + "…"


def _text(value: Any) -> str:  # noqa: ANN401
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")  # a path may hold bytes that are no UTF-8


def _name(text: str) -> str:
    """Return a key as MLflow takes one: few signs, and nothing that would be another path if it were one."""
    parts = [part for part in _NO_NAME.sub("_", _text(text)).split("/") if part not in ("", ".", "..")]
    return ("/".join(parts) or "_")[:LONGEST_NAME]


def _unused(name: str, taken: Mapping[str, str]) -> str:
    candidates = (f"{name[: LONGEST_NAME - 9]}_{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(free for free in candidates if free not in taken)
