"""What is known of a trial: a setting, and what its job found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["done", "failed", "repeated", "running"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial's job ended.

    Attributes:
        exit_status: the job's; negative where a signal ended it.
        reason: why it gave no result; empty where it did.
        seconds: from its start to its end.
        figures: of its summary, by the summary's names.
    """

    exit_status: int
    reason: str = ""
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether it has a result that meets its target, or has none to meet."""
        return not self.reason and bool(self.figures.get("target_met", True))


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study.

    Attributes:
        number: in the order in which they were proposed.
        setting: key of the configuration -> value as an override has it.
        state: repeated: proposed again and not run again.
        values: of the objectives, where it is done or repeats one that is.
        outcome: of its job, where that has ended.
        same_as: the trial that a repeated one repeats.
    """

    number: int
    setting: Mapping[str, str]
    state: State
    values: tuple[float, ...] = ()
    outcome: Outcome | None = None
    same_as: int | None = None

    @property
    def overrides(self) -> list[str]:
        """Return the setting as arguments of the command line."""
        return [f"{key}={value}" for key, value in self.setting.items()]


def best_first(trials: list[Trial]) -> list[Trial]:
    """Return trials that are done, the smallest first value first; of equal ones the earliest."""
    return sorted((t for t in trials if t.state == "done"), key=lambda t: (t.values, t.number))


def front(trials: list[Trial]) -> list[Trial]:
    """Return the trials that are done and that no other one beats: as small in all objectives, and smaller in one.

    Of those with equal values the earliest stands for all; ordered by the first objective.
    """
    kept: list[Trial] = []
    for trial in best_first(trials):
        if not any(all(a <= b for a, b in zip(other.values, trial.values, strict=True)) for other in kept):
            kept.append(trial)
    return kept
