"""A sweep's overrides, read as Hydra's own sweeper reads them: which jobs they make, and which keys differ between jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from runner.app.sweep.label import NO_RESULT, without_common_folder


def given(config: DictConfig) -> list[str]:
    """Return the overrides of a sweep, first those that a file sets as ``hydra.sweeper.params``."""
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    task = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(task, list)
    return [*(f"{key}={value}" for key, value in params.items()), *map(str, task)]


def jobs_of(config: DictConfig) -> list[dict[str, str]] | None:
    """Return the options of each job in their order, by key; None where the sweeper makes them up as it goes.

    Args:
        config: of the sweep as a whole, with its ``hydra`` section.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if config.hydra.sweeper._target_ != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
        return None
    try:
        (jobs,) = BasicSweeper.split_arguments(parsed(given(config)), None)
        return [options_of(job) for job in jobs]
    except HydraException:  # which the sweeper refuses in its own words
        return None


def options_of(overrides: Sequence[str]) -> dict[str, str]:
    """Return a job's options, as people write them, by key."""
    return {plain_key(override): _shown(override) for override in parsed(overrides)}


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Return overrides as Hydra has them."""
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))


def plain_key(override: Override) -> str:
    """Return an override's key without what says how it is put into the configuration."""
    return override.get_key_element().lstrip("+~")


def swept_keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys that are given several values."""
    return [plain_key(override) for override in parsed(overrides) if override.is_sweep_override()]


def varied(jobs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return of each job the options that differ between jobs, paths without the folders that they have in common."""
    keys = [key for key in dict.fromkeys(key for job in jobs for key in job) if len({job.get(key) for job in jobs}) > 1]
    shown = {key: dict(_told_apart({job[key] for job in jobs if key in job})) for key in keys}
    return [{key: shown[key][job[key]] for key in keys if key in job} for job in jobs]


def telling(options: Mapping[str, str]) -> dict[str, str]:
    """Return what tells a job where nothing is known of the others: not where it writes, of paths the last part."""
    kept = {k: v for k, v in options.items() if k != "mode" and not k.startswith("hydra") and changes_results(k)}
    return {key: PurePath(value.replace("\\", "/")).name or value for key, value in kept.items()}


def changes_results(key: str) -> bool:
    """Return whether a key says what is computed, not where or how."""
    return key.partition(".")[0] not in NO_RESULT


def _told_apart(values: set[str]) -> Iterator[tuple[str, str]]:
    ordered = sorted(values)
    paths = [value for value in ordered if "/" in value and value[:1] not in "[{"]
    short = dict(zip(paths, without_common_folder(paths), strict=True)) if len(paths) == len(ordered) else {}
    return ((value, short.get(value, value)) for value in ordered)


def _shown(override: Override) -> str:
    value = None if override.is_delete() else override.value()
    return value if isinstance(value, str) else str(override.get_value_element_as_str())
