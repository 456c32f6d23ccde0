"""The trials of a search: each made once, remembered in the order in which plans were first tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runner.evaluation.judge import PartialScores, Verdict
from runner.evaluation.scorer import Progress, silent
from runner.search.plan import Plan, SearchResult, Stopped, Trial


class Measure(Protocol):
    """Finds out what a plan is worth."""

    def __call__(self, plan: Plan, progress: Progress, *, early: bool, known: PartialScores | None) -> Verdict:
        """Return the verdict on a plan; the arguments are those of ``Judge.judge``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    trial: Trial
    verdict: Verdict


class TrialLog:
    """Makes trials and remembers them; who wants a plan's trial asks here, whether it was made or not.

    Args:
        measure: finds out what a plan is worth.
        float_macs: gives the multiply-accumulates of the layers that a plan leaves float, for one item.
        told: called with the step and the trial of each that is made; a plan's step is 0 for the first one tried, and stays
            where a trial that was settled early is completed.
    """

    def __init__(
        self,
        measure: Measure,
        float_macs: Callable[[Plan], int] = lambda plan: 0,
        told: Callable[[int, Trial], None] = lambda step, trial: None,
    ) -> None:
        self._measure, self._float_macs, self._told = measure, float_macs, told
        self._entries: dict[Plan, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials, in the order in which their plans were first tried."""
        return tuple(entry.trial for entry in self._entries.values())

    @property
    def evaluations(self) -> int:
        """How many models were looked at, the float one and remembered ones included."""
        return 1 + len(self)

    def known(self, plan: Plan) -> Trial | None:
        """Return a plan's trial if it was made."""
        entry = self._entries.get(plan)
        return None if entry is None else entry.trial

    def verdict(self, plan: Plan) -> Verdict:
        """Return the verdict on a plan that was tried."""
        return self._entries[plan].verdict

    def trial(self, plan: Plan, progress: Progress = silent, *, early: bool = False) -> Trial:
        """Return a plan's trial: the one that was made, or a new one.

        Args:
            plan: what is done to each layer.
            progress: told how many items are scored.
            early: whether a verdict is enough; otherwise a trial that was settled early is completed.
        """
        entry = self._entries.get(plan)
        if entry is not None and (early or entry.trial.full):
            return entry.trial
        known = None if entry is None else entry.verdict.partial
        verdict = self._measure(plan, progress, early=early, known=known)
        settled_after = None if verdict.partial is None else len(verdict.partial.items)
        trial = Trial(plan, verdict.value, verdict.loss, verdict.accepted, self._float_macs(plan), settled_after)
        self._entries[plan] = _Entry(trial, verdict)
        self._told(list(self._entries).index(plan), trial)
        return trial

    def result(self, stopped: Stopped | None = None) -> SearchResult:
        """Return what the trials found; ``stopped`` is what ended them too early, if anything."""
        return SearchResult.of(self.trials, stopped)
