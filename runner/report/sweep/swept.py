"""What came of a sweep's jobs, and which of them is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RULE = "among the jobs that kept their target the one with most multiply-accumulates in int8, then with the least loss"
_MET = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptJob:
    """What came of a job.

    Attributes:
        number: its place in the sweep.
        folder: its name in the sweep's folder.
        varied: the options in which jobs differ, as people write them.
        status: of the summary, or ``failed``, ``interrupted``, ``running``, ``not run``.
        exit_status: None of a job that has not ended.
        reason: why it failed.
        summary: its figures; empty without a result.
        report: its page, by the path within the sweep's folder; empty where there is none.
    """

    number: int
    folder: str
    varied: Mapping[str, str]
    status: str
    exit_status: int | None
    reason: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    report: str = ""

    @property
    def label(self) -> str:
        """What tells it from the others."""
        return ", ".join(f"{key}={value}" for key, value in self.varied.items()) or self.folder.partition("_")[2]

    @property
    def loss(self) -> float | None:
        """In the metric's unit."""
        return self._number("loss")

    @property
    def int8_share(self) -> float | None:
        """Of the multiply-accumulates, 0 to 1."""
        return self._number("macs_int8_share")

    @property
    def seconds(self) -> float | None:
        """From its start to its end."""
        seconds = self.summary.get("seconds", {}).get("total")
        return None if seconds is None else float(seconds)

    @property
    def layers(self) -> str:
        """How many layers are int8, of how many."""
        return f"{self.summary['layers_int8']}/{self.summary['layers_total']}" if "layers_int8" in self.summary else ""

    def _number(self, key: str) -> float | None:
        value = self.summary.get(key)
        return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep's jobs.

    Attributes:
        folder: of the sweep.
        keys: the options in which jobs differ.
        jobs: in their order.
    """

    folder: Path
    keys: Sequence[str]
    jobs: Sequence[SweptJob]

    @property
    def best(self) -> SweptJob | None:
        """The best job by ``RULE``; None where none kept its target."""
        kept = [job for job in self.jobs if job.exit_status == _MET and job.loss is not None]
        return min(kept, key=lambda job: (-(job.int8_share or 0.0), job.loss, job.number), default=None)

    @property
    def subject(self) -> str:
        """What was run on what, where that is the same for all jobs."""
        told = {(job.summary["model"], job.summary["dataset"]) for job in self.jobs if "model" in job.summary}
        models, datasets = {model for model, _ in told}, {dataset for _, dataset in told}
        return f"{_one(models, 'models')} on {_one(datasets, 'datasets')}" if told else ""


def _one(names: set[str], several: str) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} {several}"
