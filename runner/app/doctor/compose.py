"""The configurations that a command line makes; what Hydra refuses of it is told, left out, and the rest composed again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.app.arguments import arranged_apart
from runner.app.places import at_home, make_importable, names_own_class, shipped
from runner.app.quoting import quoted
from runner.app.refusal import refusal
from runner.app.sweep.callback import Refused, refuse_shared_folder
from runner.app.sweep.overrides import given, parsed, plain_key, swept_keys
from runner.errors import ConfigError

_REFUSALS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, ConfigError, Refused)
_NEARER = re.compile(r" Did you mean ([\w/@.]+=[\w-]+)\?")


@dataclass(frozen=True, slots=True)
class Composed:
    """One job of a command.

    Attributes:
        varied: what tells it from the other jobs of a sweep; empty for a command of one job.
        config: as plain values.
        folder: where it would write; of a job of a sweep that of the sweep.
        launcher: import path of the class that would start it.
    """

    varied: str
    config: Mapping[str, Any]
    folder: Path
    launcher: str


@dataclass(frozen=True, slots=True)
class Command:
    """What a command line comes to.

    Attributes:
        jobs: at least one wherever anything can be composed.
        refused: what is wrong with it, in sentences.
    """

    jobs: Sequence[Composed]
    refused: Sequence[str]


def compose_all(arguments: Sequence[str], program: str) -> Command:
    """Return the jobs that a command line makes, without what cannot be read of it, and what is wrong with that."""
    left, refused = list(arguments), list[str]()
    while True:
        try:
            flags, overrides = arranged_apart(left, program)
            return Command(list(_jobs(_Flags.of(flags), overrides)), refused)
        except _REFUSALS as error:
            message = str(error) if isinstance(error, (ConfigError, Refused)) else refusal(error)
            refused.append(message)
            shorter = _without(message, left)
            if shorter is None:
                return Command([], refused)
            left = shorter


@dataclass(frozen=True, slots=True)
class _Flags:
    """What flags say of the configuration."""

    sweep: bool
    folder: str | None

    @classmethod
    def of(cls, flags: Sequence[str]) -> _Flags:
        """Return what they say.

        Raises:
            ConfigError: the folder does not exist.
        """
        folder = None
        for place, flag in enumerate(flags):
            name, equal, value = flag.partition("=")
            if name in ("--config-dir", "-cd"):
                folder = value if equal else flags[place + 1]
        if folder is not None and not Path(folder).is_dir():
            raise ConfigError(f"--config-dir: {folder} is no folder; expected one with YAML files of options.")
        return cls(any(flag in ("-m", "--multirun") for flag in flags), folder)


def _jobs(flags: _Flags, overrides: Sequence[str]) -> Iterator[Composed]:
    folders = [] if flags.folder is None else [os.path.abspath(flags.folder)]
    own = [f"hydra.searchpath=[{quoted('file://' + folder)}]" for folder in folders]
    with _hydra():
        if not flags.sweep:
            yield _job([*own, *overrides], "", folders)
            return
        whole = _load([*own, *overrides], RunMode.MULTIRUN)
        refuse_shared_folder(whole)
        folder, varied = Path(str(OmegaConf.select(whole, "hydra.sweep.dir"))), swept_keys(given(whole))
        for job in _jobs_of(whole):
            differing = [one.input_line or "" for one in parsed(job) if plain_key(one) in varied]
            # What was said of Hydra itself holds for every job, and is not among their options.
            one = _job([*map(str, whole.hydra.overrides.hydra), *job], " ".join(differing), folders)
            yield replace(one, folder=folder, launcher=str(whole.hydra.launcher._target_))


def _jobs_of(whole: DictConfig) -> list[list[str]]:
    """Return the overrides of each job of a sweep; of one that makes its jobs up as it goes what they have in common."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    overrides = given(whole)
    if whole.hydra.sweeper._target_ != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
        varied = [one.input_line for one in parsed(overrides) if one.is_sweep_override()]
        return [[one for one in overrides if one not in varied]]
    (jobs,) = BasicSweeper.split_arguments(parsed(overrides), None)
    return [list(job) for job in jobs]


@contextmanager
def _hydra() -> Iterator[None]:
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(shipped("conf"), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()


def _load(overrides: Sequence[str], mode: RunMode) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None  # within ``_hydra``
    return hydra.compose_config("config", list(overrides), run_mode=mode, from_shell=True, with_log_configuration=False)


def _job(overrides: Sequence[str], varied: str, folders: Sequence[str]) -> Composed:
    config = _load(overrides, RunMode.RUN)
    # What refers to Hydra's own section reads it there.
    HydraConfig.instance().set_config(config)
    folder = Path(str(OmegaConf.select(config, "hydra.run.dir")))
    launcher = str(config.hydra.launcher._target_)
    with read_write(config), open_dict(config):
        del config["hydra"]
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)  # the root of a configuration is a mapping
    values = {str(key): at_home(value) for key, value in plain.items()}
    if names_own_class(values):
        make_importable([str(Path.cwd()), *folders])
    return Composed(varied, values, folder, launcher)


def _without(message: str, arguments: Sequence[str]) -> list[str] | None:
    """Return arguments without the one that a message is about; with what was meant in its place, where that is said."""
    place = _blamed(message, arguments)
    if place is None:
        return None
    key, _, value = arguments[place].partition("=")
    rest = [*arguments[:place], *arguments[place + 1 :]]
    words = message.partition(":")[0].split(" ")
    if len(words) > 1 and words == list(arguments[place : place + len(words)]):
        return [*arguments[:place], *arguments[place + len(words) :]]  # one option in several words
    meant = _NEARER.search(message)
    if meant is not None and meant[1].partition("=")[0] == key and meant[1] != f"{key}={value}":
        return [*arguments[:place], meant[1], *arguments[place + 1 :]]
    if Path(shipped("conf"), key).is_dir():
        # Options of a choice that there is not would all be refused for it.
        return [argument for argument in rest if not argument.lstrip("+~").startswith(f"{key}.")]
    return rest


def _blamed(message: str, arguments: Sequence[str]) -> int | None:
    """Return the place of the argument that a message begins with, whole or by its key; the longest that fits."""
    found: list[tuple[int, bool, int]] = []
    for place, argument in enumerate(arguments):
        for named in (argument, argument.partition("=")[0], argument.partition("=")[0].lstrip("+~")):
            if named and message.startswith(named) and not re.match(r"[\w.]", message[len(named) :]):
                found.append((len(named), named == argument, place))
    return max(found)[2] if found else None
