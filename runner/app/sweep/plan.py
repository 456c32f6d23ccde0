"""What a sweep is going to do, on disk in its folder before its jobs start: each process that runs one finds its name there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.app.sweep.label import job_label
from runner.app.sweep.overrides import changes_results, options_of, telling, varied
from runner.credentials import without_credentials
from runner.plain_values import misfit

NAME = "sweep.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job that is to run.

    Attributes:
        number: its place in the sweep, from 0.
        folder: its name in the sweep's.
        varied: the options in which it differs from other jobs, as people write them.
        options: all its options.
    """

    number: int
    folder: str
    varied: Mapping[str, str]
    options: Mapping[str, str]

    @property
    def label(self) -> str:
        """What tells it from the others, as the sweep's table and its lines do."""
        return f"{self.number} {', '.join(f'{key}={value}' for key, value in self.varied.items())}".rstrip()


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep's jobs.

    Attributes:
        given: the overrides as its user gave them.
        keys: those that differ between jobs.
        jobs: in their order; None where a sweeper makes them up as it goes.
        started: when, in seconds since 1970.
    """

    given: Sequence[str]
    keys: Sequence[str]
    jobs: Sequence[PlannedJob] | None
    started: float

    def same_as(self, other: Plan) -> bool:
        """Return whether both ask for the same results, wherever and however they are worked out."""
        return self._asked() == other._asked()

    def job(self, number: int, overrides: Sequence[str]) -> PlannedJob:
        """Return a job by its number, or what its overrides say where the plan does not have it."""
        if self.jobs is not None and number < len(self.jobs):
            return self.jobs[number]
        options = options_of([without_credentials(override) for override in overrides])
        told = {key: value for key, value in telling(options).items() if key in self.keys}
        return PlannedJob(number, f"{number}_{job_label(told or telling(options))}", told, options)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "format": FORMAT,
            "started": round(self.started, 3),
            "overrides": list(self.given),
            "varied": list(self.keys),
            "planned": self.jobs is not None,
            "jobs": [asdict(job) for job in self.jobs or ()],
        }

    def _asked(self) -> object:
        if self.jobs is None:
            return sorted(text for text in self.given if changes_results(text.lstrip("+~")))
        # With the names, since those of another sweep must not come between these.
        return [(job.folder, {k: v for k, v in job.options.items() if changes_results(k)}) for job in self.jobs]


def planned(given: Sequence[str], swept: Sequence[str], jobs: Sequence[Mapping[str, str]] | None, now: float) -> Plan:
    """Return the plan of a sweep; passwords of addresses are left out.

    Args:
        given: its overrides.
        swept: keys with several values; what a plan without jobs goes by.
        jobs: the options of each job.
        now: seconds since 1970.
    """
    given = [without_credentials(override) for override in given]
    if jobs is None:
        return Plan(given, swept, None, now)
    jobs = [{key: without_credentials(value) for key, value in options.items()} for options in jobs]
    named = [
        PlannedJob(number, f"{number}_{job_label(differs or telling(options))}", differs, options)
        for number, (options, differs) in enumerate(zip(jobs, varied(jobs), strict=True))
    ]
    return Plan(given, list(dict.fromkeys(key for job in named for key in job.varied)), named, now)


def read_plan(folder: Path) -> Plan | None:
    """Return the plan in a sweep's folder; None where there is none that can be read."""
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("format") != FORMAT or misfit(told, _Stored) is not None:
        return None
    jobs = [PlannedJob(**{name: job[name] for name in PlannedJob.__slots__}) for job in told["jobs"]]
    if any(Path(job.folder).name != job.folder for job in jobs):  # a job's folder is in the sweep's
        return None
    return Plan(told["overrides"], told["varied"], jobs if told["planned"] else None, float(told["started"]))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a plan's file holds."""

    started: float
    overrides: Sequence[str]
    varied: Sequence[str]
    planned: bool
    jobs: Sequence[PlannedJob]
