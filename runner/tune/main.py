"""``python -m runner.tune``: the command line of a study."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.app.arguments import arranged, without_doctor
from runner.app.hydra_nodes import look_first
from runner.app.leaving import INTERRUPTED, WRONG_INPUT, leave
from runner.app.places import register_resolvers, shipped
from runner.app.refusal import refusal
from runner.app.sweep.callback import Refused
from runner.app.telling import tell
from runner.app.version import asks_for_version, print_version
from runner.errors import ConfigError, RunnerError
from runner.tune.configuration import given_folders, plain_values

# Not passed on: a study's own, and where a trial's job writes.
_OWN = re.compile(r"[+~]*(tune\.|tune=|hydra\.(run|sweep|output_subdir|mode))")


def console() -> None:
    """Entry point of ``quant-tune`` and ``python -m runner.tune``; leaves with the exit status."""
    if asks_for_version(sys.argv[1:]):
        leave(print_version, result_is_printed=True)
    leave(main)


def main() -> int:
    """Run the study that ``sys.argv`` asks for and return the exit status."""
    register_resolvers()
    look_first()
    if without_doctor(sys.argv[1:]) is not None:
        tell(
            "doctor: a study is not looked at, a job is. Type python -m runner doctor, with what all trials have in common "
            "behind it."
        )
        return WRONG_INPUT
    try:
        sys.argv[1:] = map(_added, arranged(sys.argv[1:], "python -m runner.tune"))
    except ConfigError as error:
        tell(str(error))
        return WRONG_INPUT
    statuses: list[int] = []
    show_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"

    @hydra.main(version_base="1.3", config_path=shipped("conf"), config_name="tune")
    def study(config: DictConfig) -> None:
        statuses.append(_study(config))

    try:
        study()
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        if show_traceback or statuses:
            raise
        tell(_refusal(error))
        return WRONG_INPUT
    return statuses[0] if statuses else 0


def _refusal(error: Exception) -> str:
    """Return Hydra's refusal as one message; a job knows but one of the keys of ``tune``."""
    message = refusal(error)
    below = re.match(r"invalid literal for int\(\) with base 10: '(\w+)'", message)
    if below is not None:
        return (
            f"tune.space: '{below[1]}' lies below a key that is a list of choices already. Give both at once: "
            f"'tune.space={{KEY:[A,B],KEY.{below[1]}:{{float:[LOW,HIGH],when:{{KEY:A}}}}}}', or in a file, see "
            "docs/howto/tuning.md."
        )
    own = re.match(r"tune\.(\w+): no such option", message)
    if own is None:
        return message
    from runner.app.options import TuneOptions

    known = [name for name in TuneOptions.__dataclass_fields__ if name not in ("trial", "varied")]
    near = difflib.get_close_matches(own[1], known, n=1)
    hint = f" Did you mean tune.{near[0]}?" if near else ""
    return f"{own[0]}.{hint} `python -m runner.tune --cfg job -p tune` lists them all."


def _added(argument: str) -> str:
    """Return an argument that names what is tried as Hydra takes it, which asks for ``+`` before a key that is new."""
    return f"++{argument}" if argument.startswith(("tune.space.", "tune.space=")) else argument


def _study(config: DictConfig) -> int:
    # Imported here: neither Optuna nor the modes are needed for help and for a wrong key.
    from runner.tune.run_study import run_study

    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        tell("--multirun: a study is no sweep; name what is tried in tune.space.")
        raise SystemExit(WRONG_INPUT)
    overrides = [*hydra_config.overrides.hydra, *hydra_config.overrides.task]
    passed = tuple(str(one) for one in overrides if not _OWN.match(one))
    flags = tuple(part for folder in given_folders() for part in ("--config-dir", folder))
    choices: dict[str, Any] = {str(key): value for key, value in hydra_config.runtime.choices.items()}
    try:
        return run_study(plain_values(config), Path(hydra_config.runtime.output_dir), flags, passed, choices)
    except RunnerError as error:
        tell(str(error))
        return WRONG_INPUT
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED
