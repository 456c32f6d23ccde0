"""What Hydra's own section may name: Hydra builds it before the runner sees a job.

Hydra makes whatever a callback's ``_target_`` names, and Python's logging whatever a handler's ``class`` or ``()`` names. Here
they are looked at first: callbacks are subclasses of Hydra's ``Callback``, launchers and sweepers are plugins, logging is
logging's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.app.sweep.callback import Refused
from runner.class_path import class_at
from runner.errors import ConfigError

_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
# What plugins' own options may name: samplers of Optuna's sweeper and their like.
_PARTS = (*_PLUGINS, "hydra.", "optuna.", "nevergrad.")
_LOGGING = ("logging.", "colorlog.", "rich.logging.")
_STREAMS = ("ext://sys.", "cfg://")


def look_first() -> None:
    """Have every configuration that Hydra composes in this process looked at before anything of it is built."""
    if not hasattr(ConfigLoaderImpl.load_configuration, "__wrapped__"):
        ConfigLoaderImpl.load_configuration = _looking(ConfigLoaderImpl.load_configuration)  # type: ignore[method-assign]


def _looking(load: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    @functools.wraps(load)
    def loaded(*arguments: Any, **options: Any) -> DictConfig:  # noqa: ANN401 - as Hydra calls it
        config = load(*arguments, **options)
        try:
            refuse_foreign(config)
        except ConfigError as error:
            raise Refused(str(error)) from error
        return config

    return loaded


def refuse_foreign(config: DictConfig) -> None:
    """Refuse a configuration whose ``hydra`` section names a class that has no place there.

    Args:
        config: composed, with its ``hydra`` section.

    Raises:
        ConfigError: names the key.
    """
    for section in ("launcher", "sweeper"):
        for key, _, value in _named(config, f"hydra.{section}", ("_target_",)):
            own = key == f"hydra.{section}._target_"
            if not str(value).startswith(_PLUGINS if own else _PARTS):
                what = f"a {section} of Hydra's or of a plugin" if own else f"a part that a {section} takes"
                raise ConfigError(f"{key}: '{value}' cannot be used here; expected {what}.")
    for key, _, value in _named(config, "hydra.callbacks", ("_target_",)):
        target: Any = class_at(value, key)
        if not issubclass(target, Callback):
            raise ConfigError(
                f"{key}: '{value}' cannot be used here; expected a subclass of {Callback.__module__}.Callback."
            )
    for section in ("job_logging", "hydra_logging"):
        for key, name, value in _named(config, f"hydra.{section}", ("class", "()", "_target_")):
            if name == "_target_" or not str(value).startswith(_LOGGING):
                raise ConfigError(
                    f"{key}: '{value}' cannot be used here; expected a class of Python's logging, colorlog or rich.logging."
                )
        for key, value in _texts(config, f"hydra.{section}"):
            if "://" in value and not value.startswith(_STREAMS):
                raise ConfigError(
                    f"{key}: '{value}' cannot be used here; expected ext://sys.stdout or ext://sys.stderr."
                )


def _named(config: DictConfig, section: str, names: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
    """Yield (key, its last part, value) of all keys of some names below a section, at any depth."""
    for key, name, value in _all(_selected(config, section), section):
        if name in names:
            yield key, name, value


def _texts(config: DictConfig, section: str) -> Iterator[tuple[str, str]]:
    for key, _, value in _all(_selected(config, section), section):
        if isinstance(value, str) and value.startswith("ext:"):
            yield key, value


def _selected(config: DictConfig, section: str) -> Any:  # noqa: ANN401
    return OmegaConf.select(config, section, throw_on_missing=False)


def _all(node: Any, where: str) -> Iterator[tuple[str, str, Any]]:  # noqa: ANN401
    if isinstance(node, DictConfig):
        for name in list[Any](node):
            yield from _one(node, name, f"{where}.{name}")
    elif isinstance(node, ListConfig):
        for index in range(len(node)):
            yield from _one(node, index, f"{where}[{index}]")


def _one(node: DictConfig | ListConfig, name: Any, key: str) -> Iterator[tuple[str, str, Any]]:  # noqa: ANN401
    try:
        value = None if OmegaConf.is_missing(node, name) else node[name]
    except OmegaConfBaseException:
        return  # says what is not known yet, such as a job's number; what cannot be read is not built
    yield key, str(name), value
    yield from _all(value, key)
