"""Trials one after the other, or some at once, until enough have been tried."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from runner.errors import RunnerError
from runner.report.objective import Objective
from runner.tune.jobs import Command, Running, start
from runner.tune.presence import Presence
from runner.tune.study import Study, Taken
from runner.tune.trial import Outcome

_POLL_SECONDS = 0.05
# A study whose first trials all fail has something wrong that no setting changes.
_HOPELESS = 3


class HopelessError(RunnerError):
    """The first trials of a study have all failed."""


def run_trials(
    study: Study,
    command: Command,
    presence: Presence,
    objectives: Sequence[Objective],
    *,
    at_once: int,
    tell: Callable[[int], None],
) -> None:
    """Run trials until the study wants no more.

    Args:
        study: proposes and keeps.
        command: of the jobs.
        presence: this process, among those of the study.
        objectives: what is made small.
        at_once: how many jobs.
        tell: hears the number of each trial that has ended.

    Raises:
        HopelessError: the first three trials of the study failed.
        KeyboardInterrupt: trials that were under way are taken up by the next process.
    """
    study.wait_for_ending()
    running: list[Running] = []
    try:
        wanted = True
        while wanted or running:
            while wanted and len(running) < at_once:
                taken = study.take()
                wanted = taken is not None
                if taken is not None:
                    running.append(start(command, taken, presence.trial_lock(taken.number)))
            presence.touch()
            for one in list(running):
                ended = one.ended()
                if ended is not None:
                    running.remove(one)
                    _keep(study, one.taken, ended, objectives, tell)
            if running:
                time.sleep(_POLL_SECONDS)
    finally:
        _end(running)


def _keep(
    study: Study,
    taken: Taken,
    ended: Outcome,
    objectives: Sequence[Objective],
    tell: Callable[[int], None],
) -> None:
    values = [] if ended.reason else [objective.value(ended.figures) for objective in objectives]
    lacking = next((o.name for o, value in zip(objectives, values, strict=False) if math.isnan(value)), None)
    if lacking is not None:
        ended, values = replace(ended, reason=f"the job tells no finite figure for the objective {lacking}"), []
    study.tell(taken.number, ended, values)
    tell(taken.number)
    ran = [trial for trial in study.trials() if trial.state in ("done", "failed")]
    if len(ran) == _HOPELESS and all(trial.state == "failed" for trial in ran):
        raise HopelessError(
            f"the first {_HOPELESS} trials failed, the last one with: {ended.reason} The same command goes on."
        )


def _end(running: Sequence[Running]) -> None:
    for one in running:
        one.interrupt()
    try:
        for one in running:
            one.process.wait()
    except KeyboardInterrupt:
        for one in running:
            one.kill()
        raise
