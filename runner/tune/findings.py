"""What a study has found, for whoever tells it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.report.objective import Objective
from runner.tune.jobs import Command
from runner.tune.study import Plan
from runner.tune.trial import Trial, best_first, front


@dataclass(frozen=True, slots=True)
class Findings:
    """A study and its trials.

    Attributes:
        plan: what it is made with.
        objectives: what is made small.
        trials: all of them, by number.
        importances: parameter -> its share of what decides about the first objective.
        command: what all trials have in common.
        choices: the option chosen in each configuration group.
    """

    plan: Plan
    objectives: Sequence[Objective]
    trials: Sequence[Trial]
    importances: Mapping[str, float]
    command: Command
    choices: Mapping[str, Any]

    def ranked(self) -> list[Trial]:
        """Return the trials that are done, the best first."""
        return best_first(list(self.trials))

    def best(self) -> list[Trial]:
        """Return the best trial; with two objectives those that no other one beats."""
        return self.ranked()[:1] if len(self.objectives) == 1 else front(list(self.trials))

    def failed(self) -> list[Trial]:
        """Return the trials that gave no result."""
        return [trial for trial in self.trials if trial.state == "failed"]

    def counted(self) -> str:
        """Return how many settings were tried, of how many."""
        ran = sum(trial.state in ("done", "failed") for trial in self.trials)
        repeated = sum(trial.state == "repeated" for trial in self.trials)
        size = self.plan.space.size()
        of_all = "" if size is None else f" of the {size} that there are"
        again = f"; {repeated} proposals repeated one and were not run" if repeated else ""
        return f"{ran} settings tried{of_all}{again}."

    def still_running(self) -> str:
        """Return how many trials have not ended; empty where all have."""
        left = sum(trial.state == "running" for trial in self.trials)
        return f"{left} under way or interrupted: the same command takes up those that nobody runs." if left else ""

    def experiment(self, trial: Trial) -> str:
        """Return the name of the experiment that is a best trial: there may be several with two objectives."""
        return "best" if len(self.objectives) == 1 else f"trial_{trial.number}"

    def experiment_command(self, trial: Trial) -> str:
        """Return the command that runs a best trial's experiment."""
        folder = str(self.command.folder)
        # Hydra takes one --config-dir.
        where = (
            [*self.command.flags, f"hydra.searchpath=[file://{folder}]"]
            if self.command.flags
            else ["--config-dir", folder]
        )
        return shlex.join(["python", "-m", "runner", *where, f"+tuned={self.experiment(trial)}"])
