"""The trials of one job, with the best plan's models on disk before anything that takes time."""

from __future__ import annotations

from collections.abc import Callable

from runner.events import WRITE
from runner.modes.files.write_acc_auto import BestPair
from runner.modes.scoring.trials import TrialRunner
from runner.modes.stages import Stages
from runner.search.plan import Plan, SearchResult, Stopped, Trial


class Attempts:
    """Runs trials, remembers them, and offers those over every item to the pair on disk.

    Args:
        trials: has plans judged.
        best: the pair of the best plan.
        stages: times the writing apart from the stage that goes on around it.
    """

    def __init__(self, trials: TrialRunner, best: BestPair, stages: Stages) -> None:
        self.trials, self._best, self.stages = trials, best, stages
        self._made: dict[Plan, Trial] = {}

    def run(self, plan: Plan, progress: Callable[[int], None]) -> Trial:
        """Return a plan's trial over all items."""
        self._made[plan] = trial = self.trials.run(plan, progress, self.publish)
        self._best.offer(trial)
        return trial

    def run_early(self, plan: Plan, progress: Callable[[int], None]) -> Trial:
        """Return a plan's trial over as many items as settle it; its models are no result yet."""
        self._made[plan] = trial = self.trials.run_early(plan, progress, self.publish)
        return trial

    def publish(self) -> None:
        """Write the pair of the best plan so far."""
        with self.stages.apart(WRITE):
            self._best.publish()

    @property
    def evaluations(self) -> int:
        """How many models were looked at, the float one and remembered ones included."""
        return 1 + len(self._made)

    def result(self, stopped: Stopped | None) -> SearchResult:
        """Return what the trials found so far; ``stopped`` is what ended them too early, if anything."""
        return SearchResult.of(self._made.values(), stopped)
