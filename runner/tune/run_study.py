"""One study, from its configuration to its exit status."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.app import telling
from runner.app.downloads import fetch_missing
from runner.app.leaving import INTERRUPTED
from runner.app.options import TuneOptions
from runner.app.parsing import parse_job
from runner.app.progress import ProgressDisplay
from runner.app.termination import terminated_as_interrupted
from runner.credentials import values_without_credentials
from runner.errors import ConfigError
from runner.printable import printable
from runner.report.objective import Objective, objectives
from runner.tune.check import check_space, common_values, composed
from runner.tune.findings import Findings
from runner.tune.jobs import Command
from runner.tune.loop import HopelessError, run_trials
from runner.tune.presence import present
from runner.tune.read_space import read_space
from runner.tune.samplers import chosen, refuse_missing
from runner.tune.study import Plan, Study
from runner.tune.table import trial_line
from runner.tune.told import tell
from runner.tune.trial import Trial

NONE_MET, SOME_FAILED = 3, 5


def run_study(
    config: Mapping[str, Any], folder: Path, flags: tuple[str, ...], passed: tuple[str, ...], choices: Mapping[str, Any]
) -> int:
    """Run a study and return its exit status; what it found stands in its folder, also after an interruption.

    Args:
        config: the composed configuration of ``runner.tune``.
        folder: of the study.
        flags: of the command line, for every trial.
        passed: overrides, for every trial.
        choices: the option chosen in each configuration group.

    Raises:
        RunnerError: the study cannot be begun.
    """
    refuse_missing()
    options = parse_job(config).tune
    wanted = objectives(options.objective)
    plan = _plan(options, wanted, passed, config)
    command = Command(plan.name, folder, flags, passed)
    with terminated_as_interrupted(), present(folder / "workers") as presence:
        study = Study(folder, plan, presence)

        def heard(number: int) -> None:
            trials = study.trials()
            print(printable(trial_line(trials[number], trials, plan)), file=sys.stderr, flush=True)

        status = None
        try:
            run_trials(study, command, presence, wanted, at_once=options.jobs, tell=heard)
        except KeyboardInterrupt:
            status = INTERRUPTED
        except HopelessError as error:
            telling.tell(str(error))
        trials = study.trials()
        tell(Findings(plan, wanted, trials, study.importances(), command, choices))
    if status == INTERRUPTED:
        telling.tell("the same command goes on.", "interrupted")
    return status if status is not None else study_status(trials)


def _plan(options: TuneOptions, wanted: Sequence[Objective], passed: Sequence[str], config: Mapping[str, Any]) -> Plan:
    space = read_space(options.space)
    sampler = chosen(options.sampler, len(wanted))
    if sampler == "grid" and space.endless():
        raise ConfigError(f"tune.sampler=grid: {space.endless()[0]} has no step; give it one, or a list of values.")
    common = composed(passed)
    display = ProgressDisplay()
    try:
        # Once, not by every trial.
        fetch_missing(common, display)
    finally:
        display.close()
    check_space(space, passed)
    names = tuple(objective.name for objective in wanted)
    values = values_without_credentials(common_values(common))
    return Plan(options.study, space, names, options.trials, sampler, options.seed, options.population, values)


def study_status(trials: Sequence[Trial]) -> int:
    """Return a study's exit status, as a sweep's: 5 where a job failed, 0 where one met its target, 3 where none did."""
    if any(trial.state == "failed" for trial in trials):
        return SOME_FAILED
    return 0 if any(trial.outcome is not None and trial.outcome.met for trial in trials) else NONE_MET
