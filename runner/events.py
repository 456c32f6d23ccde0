"""What a job says while it works: plain values that progress bars, logs and trackers read.

Everything here can be written as one line of JSON. The core calls ``emit(event)`` and knows nothing of who listens.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from runner.plain_values import fits, misfit

# Stages, in the order in which they come.
DOWNLOAD, LOAD, CALIBRATE, FLOAT_EVAL, RANK, SEARCH, FINAL_EVAL, WRITE, VERIFY, LOOK_INSIDE = (
    "download",
    "load",
    "calibrate",
    "float_eval",
    "rank",
    "search",
    "final_eval",
    "write",
    "verify",
    "look_inside",
)


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job begins: what it runs and with which options.

    Attributes:
        label: short readable name.
        params: flat options, most telling first; a list where an option is one.
        config: the whole configuration.
        tags: versions, digests, the sweep.
    """

    label: str
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins; ``total`` items, 0 where it has no count."""

    stage: str
    total: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StageAdvanced:
    """So many of a stage's items are done; ``total`` where how many there are was not known when it began."""

    stage: str
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage ended after so many wall seconds."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkAhead:
    """So many items the job will look at from here on, over all stages.

    Attributes:
        items: at most, whatever turns out.
        likely: where nothing more than is known by now goes wrong; None for the same.
    """

    items: int
    likely: int | None = None


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A plan was evaluated; ``step`` 0 is the plan with every layer int8.

    A step comes a second time where a plan that was settled early is evaluated in full.

    Attributes:
        settled_after: items that settled the verdict, where not all were scored; value and loss are estimates then.
    """

    step: int
    value: float
    loss: float
    accepted: bool
    int8_layers: int
    fallback: tuple[str, ...]
    settled_after: int | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user may want to act on."""

    message: str


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """A model file was read."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DataUsed:
    """A dataset and how it was used: ``calibration`` or ``evaluation``."""

    name: str
    context: str
    items: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class JobFinished:
    """The job has a result.

    Attributes:
        metrics: plain numbers, headline first.
        files: that hold the result, relative to the job's folder.
        told: the result in a sentence of markdown.
    """

    status: str
    exit_status: int
    metrics: Mapping[str, float]
    files: tuple[str, ...]
    told: str = ""


@dataclass(frozen=True, slots=True)
class JobFailed:
    """The job ended without a result."""

    kind: str
    message: str
    exit_status: int


Event = (
    JobStarted
    | StageStarted
    | StageAdvanced
    | StageFinished
    | WorkAhead
    | TrialFinished
    | Warned
    | ModelUsed
    | DataUsed
    | JobFinished
    | JobFailed
)
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def to_json(event: Event) -> dict[str, Any]:
    """Return an event as plain values, its kind under ``event``."""
    return {"event": type(event).__name__, **asdict(event)}


_KINDS: Mapping[str, type] = {kind.__name__: kind for kind in typing.get_args(Event)}


def from_line(line: bytes) -> Mapping[str, Any] | None:
    """Return what a line of ``events.jsonl`` says, as plain values; None where it is none that a job writes.

    An event of a kind that is not known is one: a later version's.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not fits(said, Mapping[str, Any]) or not fits(said.get("time"), float) or not fits(said.get("event"), str):
        return None
    kind = _KINDS.get(said["event"])
    return said if kind is None or misfit(said, kind) is None else None
