"""The command line. Nothing heavy is imported before a job starts, so help and refusals come at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.app import json_lines
from runner.app.arguments import arranged, without_doctor
from runner.app.hydra_nodes import look_first
from runner.app.leaving import INTERNAL_FAULT, INTERRUPTED, WRONG_INPUT, leave
from runner.app.loudness import asks_for
from runner.app.places import register_resolvers, shipped
from runner.app.refusal import refusal
from runner.app.returned import returned_value
from runner.app.sweep.callback import Begun, Refused, SweepFolder
from runner.app.sweep.carried import carried_environment
from runner.app.sweep.folder import abandon
from runner.app.sweep.outcome import FAILED_SWEEP
from runner.app.telling import fault, tell
from runner.app.termination import terminated_as_interrupted
from runner.app.tracking.process import prepare
from runner.errors import ConfigError

# Of these flags what they print is the result.
_PRINTED = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i")


def console() -> None:
    """Entry point of ``quant-runner`` and ``python -m runner``; leaves with the exit status."""
    leave(main, result_is_printed=_prints(sys.argv[1:]) or without_doctor(sys.argv[1:]) is not None)


def _prints(arguments: Sequence[str]) -> bool:
    """Return whether a command line prints the configuration or help, and runs nothing."""
    return any(argument.partition("=")[0] in _PRINTED for argument in arguments)


def main() -> int:
    """Run what ``sys.argv`` asks for and return the exit status."""
    # What a look at a job finds is told in a line of its own; the configuration and help stay what they are.
    asked = asks_for("json", sys.argv[1:]) and without_doctor(sys.argv[1:]) is None and not _prints(sys.argv[1:])
    with json_lines.json_lines(asked):
        try:
            status = _asked_for()
        except BaseException as error:
            code = error.code if isinstance(error, SystemExit) else INTERNAL_FAULT
            json_lines.say_end(code if isinstance(code, int) else 0 if code is None else INTERNAL_FAULT)
            raise
        json_lines.say_end(status)
        return status


def _asked_for() -> int:
    register_resolvers()
    look_first()
    looked_at = without_doctor(sys.argv[1:])
    if looked_at is not None:
        return _look(looked_at)
    try:
        sys.argv[1:] = arranged(sys.argv[1:], "python -m runner")
    except ConfigError as error:
        tell(str(error))
        return WRONG_INPUT
    return _run()


def _look(arguments: list[str]) -> int:
    # Imported here: as of a job, much is needed.
    from runner.app.doctor.command import look

    sys.argv[1:] = arguments
    if not asks_for("json", arguments):
        return look(arguments, "python -m runner")
    # What classes of the user's own print is none of it.
    with json_lines.kept_clean() as output:
        return look(arguments, "python -m runner", as_values=output)


def _run() -> int:
    statuses: list[int] = []
    show_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Makes Hydra raise what it would otherwise print and exit with 1 for.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    carried = carried_environment()

    @hydra.main(version_base="1.3", config_path=shipped("conf"), config_name="config")
    def job(config: DictConfig) -> float | list[float]:
        try:
            statuses.append(_job(config, carried))
        except OmegaConfBaseException as error:
            if show_traceback:
                raise
            # Hydra would write the overrides in front of it.
            tell(refusal(error))
            statuses.append(WRONG_INPUT)
        if statuses[-1] == INTERRUPTED:
            # Else a sweep would go on with its next job.
            raise KeyboardInterrupt
        return returned_value(config, statuses[-1])

    try:
        with terminated_as_interrupted():
            job()
        return _ended(statuses)
    except SystemExit as error:
        # Hydra's way out after it has said that --package names nothing.
        if error.code != 1 or statuses:
            raise
        return WRONG_INPUT
    except Refused as error:
        tell(refusal(error))
        return WRONG_INPUT
    except KeyboardInterrupt:
        if INTERRUPTED not in statuses:
            tell("interrupted")
        return _ended(statuses, interrupted=True)
    except Exception as error:
        if show_traceback:
            raise
        return _told(error, statuses)


def _told(error: Exception, statuses: list[int]) -> int:
    """Tell of an error outside of a job and return the exit status; one that is no user's is raised again."""
    if SweepFolder.begun is not None and _left_jobs(SweepFolder.begun):
        # Who launches them gave up on one, or on all that were under way.
        tell(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        return _ended(statuses) or FAILED_SWEEP
    message = message_of(error, started=bool(statuses))
    if message is None:
        raise error
    tell(message)
    return WRONG_INPUT


def message_of(error: Exception, *, started: bool) -> str | None:
    """Return what to say of an error that is the user's to mend; None of another."""
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return refusal(error)
    if isinstance(error, RecursionError) and not started:
        return "a configuration file is nested too deeply to be read."
    if isinstance(error, (YAMLError, ValueError)) and not started:
        # What Hydra lets through: a configuration file that is no YAML, a group set to null.
        return refusal(error)
    if isinstance(error, OSError) and error.filename is not None and not started:
        where = f"{error.filename or ''} cannot be written: {error.strerror}"
        return f"paths.output: {where}. Set paths.output to a folder that can."
    if isinstance(error, OSError) and str(error).startswith("Invalid loaded object type") and not started:
        return f"a configuration file holds one {str(error).rpartition(' ')[2]}; expected options, as `key: value`."
    return fault(error)


def _job(config: DictConfig, carried: Mapping[str, str]) -> int:
    for name, value in carried.items():
        os.environ.setdefault(name, value)
    if OmegaConf.select(config, "tracking.name") == "mlflow":
        prepare()
    # Imported here: onnxruntime and the modes are not needed to refuse a wrong key.
    from runner.app.launched import run_launched

    return run_launched(config)


def _left_jobs(sweep: Begun) -> bool:
    """Return whether a job of the sweep has begun; where none has, nothing is left of it."""
    if any(sweep.folder.glob("*/events.jsonl")):
        return True
    abandon(sweep.folder, sweep.lock)
    return False


def _ended(statuses: list[int], *, interrupted: bool = False) -> int:
    """Return the exit status; of a sweep after telling of all its jobs."""
    if SweepFolder.begun is None:
        return INTERRUPTED if interrupted else statuses[0] if statuses else 0
    from runner.app.sweep.ending import end_sweep

    status = end_sweep(SweepFolder.begun, interrupted=interrupted)
    return INTERRUPTED if interrupted else status
