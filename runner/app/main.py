"""The command line. Nothing heavy is imported before a job starts, so help and refusals come at once."""

from __future__ import annotations

import difflib
import functools
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.app.belonging import belongs
from runner.app.hydra_nodes import look_first
from runner.app.places import register_resolvers, shipped
from runner.app.returned import returned_value
from runner.app.sweep.callback import Begun, Refused, SweepFolder
from runner.app.sweep.carried import carried_environment
from runner.app.sweep.folder import abandon
from runner.app.sweep.launchers import EXTRAS
from runner.app.sweep.outcome import FAILED_SWEEP
from runner.app.termination import terminated_as_interrupted
from runner.app.tracking.process import prepare

WRONG_INPUT, INTERRUPTED = 2, 130


def console() -> None:
    """Entry point of ``quant-runner`` and ``python -m runner``; leaves with the exit status."""
    leave(main)


def leave(command: Callable[[], int]) -> None:
    """Run a command and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A name in a script that the terminal lacks costs its characters, not the result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = command()
    if status == INTERRUPTED and "ray" not in sys.modules:  # which ends its processes on the way out
        # All files are closed, and whoever interrupts does not want to wait until threads and sessions are taken apart.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main() -> int:
    """Run what ``sys.argv`` asks for and return the exit status."""
    register_resolvers()
    look_first()
    sys.argv[1:] = [spelled_out(argument) for argument in sys.argv[1:]]
    statuses: list[int] = []
    show_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Makes Hydra raise what it would otherwise print and exit with 1 for.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    carried = carried_environment()

    @hydra.main(version_base="1.3", config_path=shipped("conf"), config_name="config")
    def job(config: DictConfig) -> float | list[float]:
        statuses.append(_job(config, carried))
        if statuses[-1] == INTERRUPTED:
            # Else a sweep would go on with its next job.
            raise KeyboardInterrupt
        return returned_value(config, statuses[-1])

    try:
        with terminated_as_interrupted():
            job()
        return _ended(statuses)
    except Refused as error:
        print(f"error: {refusal(error)}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        if INTERRUPTED not in statuses:
            print("error: interrupted", file=sys.stderr)
        return _ended(statuses, interrupted=True)
    except Exception as error:
        if show_traceback:
            raise
        if SweepFolder.begun is not None and _left_jobs(SweepFolder.begun):
            # Who launches them gave up on one, or on all that were under way.
            print(f"error: {type(error).__name__}: {str(error).partition(chr(10))[0]}", file=sys.stderr)
            return _ended(statuses) or FAILED_SWEEP
        message = _message(error, started=bool(statuses))
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return WRONG_INPUT


def _message(error: Exception, *, started: bool) -> str | None:
    """Return what to say of an error that is the user's to mend; None of another."""
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return refusal(error)
    if isinstance(error, (YAMLError, ValueError)) and not started:
        # What Hydra lets through: a configuration file that is no YAML, a group set to null.
        return refusal(error)
    if isinstance(error, OSError) and not started:
        where = f"{error.filename or ''} cannot be written: {error.strerror}"
        return f"paths.output: {where}. Set paths.output to a folder that can."
    return None


def spelled_out(argument: str) -> str:
    """Return an argument as the configuration has it: ``expect=87.6`` is short for ``expect.value=87.6``.

    As it stands Hydra would put the number in the place of the section, and ``expect.within`` beside it had none.
    """
    key, _, value = argument.partition("=")
    return f"expect.value={value}" if key == "expect" and not value.startswith("{") else argument


def refusal(error: BaseException) -> str:
    """Return Hydra's refusal of a configuration as one message: what, where, what there is instead."""
    text = str(error)
    ours = re.search(r"ValueError raised while resolving interpolation: (.*)", text)
    if ours is not None:
        return ours[1]
    if "override_grammar" in text:
        unreadable = next(filter(_is_unreadable, sys.argv[1:]), None)
        if unreadable is not None:
            name, _, value = unreadable.partition("=")
            quoted = value.replace('"', '\\"')
            command = shlex.quote(f'{name}="{quoted}"')
            return (
                f"{name}: the value {value} holds characters that mean something to the command line, or are not ASCII. "
                f"Quote it for the shell and for the runner: {command}."
            )
        broken = next(filter(_is_broken_list, sys.argv[1:]), None)
        if broken is not None:
            name, _, value = broken.partition("=")
            return f"{name}: the value {value} cannot be read; expected [a,b] or {{key:value}}, keys without quotes."
    missing = r"Could not (?:override|delete) '([^']+)'|Key '([^']+)' is not in struct|Key '([^']+)' not in"
    key = re.search(missing, text)
    option = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if option is not None and option[1] == "hydra/launcher" and option[2] in EXTRAS:
        extra = f"pip install 'onnx-quant-runner[{EXTRAS[option[2]]}]'"
        return f"hydra/launcher={option[2]}: this launcher is not installed. Install the extra that brings it: {extra}."
    if option is not None:
        available = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        near = difflib.get_close_matches(option[2], available, n=1)
        hint = f" Did you mean {option[1]}={near[0]}?" if near else ""
        return f"{option[1]}={option[2]}: no such option.{hint} Available: {', '.join(available) or 'none'}."
    append = re.search(r"An item is already at '([^']+)'", text)
    if append is not None:
        return f"+{append[1]}: the option exists; leave out the +."
    if key is not None:
        name = next(group for group in key.groups() if group)
        # Inside a section that is given as a whole only the cause knows the key.
        full = re.search(r"full_key: (\S+)", f"{text} {error.__cause__ or ''}")
        return _unknown(full[1] if full and name in full[1] else name)
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line)


def _is_unreadable(argument: str) -> bool:
    # Quotes would make a text of a list.
    return argument.partition("=")[2].strip()[:1] not in ("", "[", "{") and not _can_be_parsed(argument)


def _is_broken_list(argument: str) -> bool:
    return argument.partition("=")[2].strip()[:1] in ("[", "{") and not _can_be_parsed(argument)


def _can_be_parsed(argument: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if argument.startswith("-"):
        return True
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def _unknown(name: str) -> str:
    if name == "dataset/preprocess":
        return (
            "dataset/preprocess: the chosen dataset takes no preset; presets are for images: dataset=image_folder, class_tree "
            "or parquet. Set dataset.preprocess.scale, mean and std; docs/datasets.md lists each preset's."
        )
    modes = next((re.split(",", v) for argument in sys.argv for v in re.findall(r"^mode=([\w,]+)$", argument)), None)
    known = {mode: _known(mode) for mode in modes or [None]}
    # Of several modes that a sweep goes through, the one that does not know it.
    mode = next((mode for mode, names in known.items() if name not in names), next(iter(known)))
    message = f"{name}: no such option{'' if mode is None else f' of mode={mode}'}."
    for other in sorted(p.stem for p in Path(shipped("conf"), "mode").glob("*.yaml")):
        if other == mode:
            continue
        theirs, section = _known(other), name.partition(".")[0]
        if name in theirs:
            return f"{message} {belongs(other)}"
        if section in theirs and section not in known[mode]:
            return f"{message} {belongs(other, section)}"
    near = _nearest(name, known[mode])
    hint = f" Did you mean {near}?" if near is not None else ""
    return f"{message}{hint} `python -m runner --cfg job` lists them all."


def _nearest(name: str, known: list[str]) -> str | None:
    """Return the key that was probably meant: a like name in the same section, or a like name in all."""
    section, _, last = name.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == section}
    near = difflib.get_close_matches(last, siblings, n=1)
    if near:
        return siblings[near[0]]
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.85)), None)


def _known(mode: str | None) -> list[str]:
    """Return the dotted keys of the configuration that the chosen groups give in a mode, and the groups that it has."""
    folders = {path.name for path in Path(shipped("conf")).iterdir() if path.is_dir()}
    return _composed(mode, tuple(a for a in sys.argv[1:] if a.partition("=")[0] in folders - {"mode"} and "," not in a))


@functools.cache
def _composed(mode: str | None, chosen: tuple[str, ...]) -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    chosen_mode = [] if mode is None else [f"mode={mode}"]
    try:
        with initialize_config_dir(shipped("conf"), version_base="1.3"):
            composed = compose("config", chosen_mode, return_hydra_config=True)
            groups = sorted(str(name) for name in composed.hydra.runtime.choices if "hydra" not in str(name))
            own = [argument for argument in chosen if argument.partition("=")[0] in groups]
            try:
                keys = compose("config", [*own, *chosen_mode])
            except (HydraException, OmegaConfBaseException):
                keys = compose("config", chosen_mode)  # one of them is what is wrong
            return [*_dotted(OmegaConf.to_container(keys, resolve=False), ""), *groups]
    except (HydraException, OmegaConfBaseException):
        return sorted(path.name for path in Path(shipped("conf")).iterdir() if path.is_dir())


def _dotted(value: Any, prefix: str) -> list[str]:  # noqa: ANN401
    if not isinstance(value, dict):
        return []
    keys = []
    for name, inner in value.items():
        key = f"{prefix}{name}"
        keys += [key, *_dotted(inner, f"{key}.")]
    return keys


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
