"""What Hydra calls when a sweep begins: its folder is claimed, its plan written, and the jobs are told where."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.app.loudness import KEYS, Loudness, loudness_of
from runner.app.places import absolute, register_resolvers
from runner.app.sweep.folder import claim
from runner.app.sweep.launchers import BASIC, ready_launcher
from runner.app.sweep.overrides import given, jobs_of, swept_keys
from runner.app.sweep.plan import Plan, planned
from runner.app.sweep.tail import Tail
from runner.errors import ConfigError, RunnerError

# A worker process meets this module first, when it is handed the sweep's callbacks.
register_resolvers()


class Refused(BaseException):
    """A job or sweep that does not begin, with the reason; Hydra would make a warning of an Exception."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The sweep that this process launched.

    Attributes:
        folder: where it writes.
        plan: what it is going to do.
        lock: held until this process ends.
        loudness: how much is told.
        tail: says what jobs say that run elsewhere; None where they say it themselves, or nothing of that is asked for.
    """

    folder: Path
    plan: Plan
    lock: FileLock | None
    loudness: Loudness = "short"
    tail: Tail | None = None


class SweepFolder(Callback):
    """Gives a sweep its folder and its plan."""

    begun: ClassVar[Begun | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 - Hydra's signature
        """Claim the folder, and have every job's configuration name it, wherever that is composed."""
        try:
            ready_launcher(config)
            folder, plan, lock = _begin(config)
        except OSError as error:
            where = f"{error.filename or ''} cannot be written: {error.strerror}"
            raise Refused(f"paths.output: {where}. Set paths.output to a folder that can.") from error
        except (RunnerError, OmegaConfBaseException) as error:
            raise Refused(str(error)) from error
        except HydraException:
            return  # an override that cannot be read, which the sweeper refuses next
        loudness = loudness_of({key: OmegaConf.select(config, key) for key in KEYS})
        elsewhere = loudness == "json" and config.hydra.launcher._target_ != BASIC
        SweepFolder.begun = Begun(folder, plan, lock, loudness, Tail(folder) if elsewhere else None)
        config.hydra.sweep.dir = str(folder)
        # Jobs are composed anew from these.
        named = QuotedString(str(folder), Quote.single).with_quotes()
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={named}")


def _begin(config: DictConfig) -> tuple[Path, Plan, FileLock | None]:
    refuse_shared_folder(config)
    overrides, jobs = given(config), jobs_of(config)
    if jobs == []:
        raise ConfigError(f"the sweep {' '.join(overrides)} has no job: what glob() is to find does not exist.")
    swept = swept_keys(overrides)
    _refuse_of_the_command(swept)
    plan = planned(overrides, swept, jobs, time.time())
    folder, lock = claim(Path(absolute(config.hydra.sweep.dir)), plan, option=_named_by(config))
    return folder, plan, lock


def refuse_shared_folder(config: DictConfig) -> None:
    """Refuse a name for the folder of each job of a sweep.

    Raises:
        ConfigError: there is one.
    """
    if OmegaConf.select(config, "paths.job") is not None:
        raise ConfigError(
            "paths.job: each job of a sweep has a folder of its own; sweep.name=NAME names that of the sweep."
        )


def _refuse_of_the_command(swept: Sequence[str]) -> None:
    for key in (*KEYS, "doctor"):
        if key in swept:
            raise ConfigError(f"{key}: holds for all jobs of a sweep; expected one value. Type {key}=true.")


def _named_by(config: DictConfig) -> str | None:
    """Return which option named the sweep's folder; None where the time did."""
    written = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(written, dict)
    if not re.search(r"\$\{now:", str(written["dir"])):
        return "hydra.sweep.dir"
    return None if OmegaConf.select(config, "sweep.name") is None else "sweep.name"
