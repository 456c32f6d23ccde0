"""A study against the schema, before any trial: the configuration that trials have in common, and each value that is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from runner.app.parsing import parse_job
from runner.app.places import shipped
from runner.app.refusal import refusal
from runner.errors import ConfigError, RunnerError
from runner.tune.configuration import plain_values
from runner.tune.space import Space

# They change no result.
_BESIDE = ("tune", "paths", "tracking", "cache", "engine", "download")


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a job, composed as the running command's is.

    Raises:
        ConfigError: Hydra refuses an override.
    """
    try:
        return plain_values(compose("config", list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(refusal(error)) from error


def check_space(space: Space, overrides: Sequence[str]) -> None:
    """Refuse a key or a value that the schema does not take.

    Args:
        space: what is tried.
        overrides: what all trials have in common.

    Raises:
        ConfigError: the first one; says which.
    """
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    for parameter in space.parameters:
        if parameter.key in given:
            raise ConfigError(
                f"{parameter.key}: given for all trials and in tune.space as well; leave one of them out."
            )
    for probe in space.probes():
        *_, (key, value) = probe.items()
        try:
            parse_job(composed([*overrides, *(f"{k}={v}" for k, v in probe.items())]))
        except RunnerError as error:
            raise ConfigError(f"tune.space.{key}: {value} cannot be tried: {error}") from error


def common_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted key -> value of all that decides about results; shipped files go by no machine's path."""
    return {key: value for name, inner in config.items() if name not in _BESIDE for key, value in _flat(name, inner)}


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(value, Mapping) and value:
        return [entry for name, inner in value.items() for entry in _flat(f"{key}.{name}", inner)]
    if isinstance(value, str):
        value = value.replace(shipped("."), "shipped:")
    return [(key, value)]
