"""Where things are: the shipped configuration, models and data, and the folders of jobs.

They stand at the top of a checkout and inside the package of a built wheel; the first that exists is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

_PACKAGE = Path(__file__).resolve().parent.parent
# What else lies below the root.
_TAKEN = ("sweeps", "cache", "mlartifacts", "mlflow.db")


def shipped(name: str) -> str:
    """Return the path of a shipped file or folder, such as ``conf`` or ``model/mobilenet_v2_digits.onnx``."""
    inside = _PACKAGE / name
    return str(inside if inside.exists() else _PACKAGE.parent / name)


def absolute(path: str) -> str:
    """Return a path made absolute against the directory of the command.

    Raises:
        ValueError: it is no text, as of ``paths.output``, for which this is there.
    """
    if not isinstance(path, str):
        shown = "null" if path is None else path
        raise ValueError(f"paths.output: expected the path of a folder, got {shown}; a number is put in quotes.")
    return str(Path(os.path.expanduser(path)).absolute())


def at_home(config: Any) -> Any:  # noqa: ANN401 - configuration is any value
    """Return a configuration with a home folder in the place of ``~`` at the start of a text, which no shell sees there."""
    if isinstance(config, Mapping):
        return {key: at_home(value) for key, value in config.items()}
    if isinstance(config, list):
        return [at_home(value) for value in config]
    if isinstance(config, str) and (config == "~" or config.startswith("~/")):
        # Several folders stand in one text where they belong together: "~/images;~/states".
        return ";".join(map(os.path.expanduser, config.split(";")))
    return config


def own_name(name: str | None, otherwise: str) -> str:
    """Return the name that a user gave a folder below ``paths.output``, or another where none was given.

    Raises:
        ValueError: it is no name of one folder, or one that is taken.
    """
    if name is None:
        return otherwise
    if not str(name).strip(". ") or "/" in str(name) or str(name) in _TAKEN:
        raise ValueError(
            f"paths.job and sweep.name: expected the name of a folder, without slashes and not among {', '.join(_TAKEN)}; "
            f"got '{name}'."
        )
    return str(name)


def sweep_job(sweep: str, number: int, overrides: Sequence[str]) -> str:
    """Return the name of a job's folder in its sweep's, which the plan there tells."""
    from runner.app.sweep.plan import planned, read_plan

    plan = read_plan(Path(sweep)) or planned((), (), None, 0.0)
    return plan.job(number, list(overrides)).folder


def make_importable(folders: Iterable[str]) -> None:
    """Let classes be imported from these folders too; what Python finds elsewhere comes first."""
    sys.path.extend(folder for folder in dict.fromkeys(folders) if folder not in sys.path)


def names_own_class(config: Any) -> bool:  # noqa: ANN401 - configuration is any value
    """Return whether a configuration names a class that is not the runner's: by ``_target_``, or as an AMCT evaluator."""
    if isinstance(config, Mapping):
        named = [value for key, value in config.items() if key in ("_target_", "evaluator") and isinstance(value, str)]
        return any(not name.startswith("runner.") for name in named) or any(map(names_own_class, config.values()))
    return isinstance(config, list) and any(map(names_own_class, config))


def register_resolvers() -> None:
    """Make ``${shipped:…}``, ``${absolute:…}``, ``${own_name:…}`` and ``${sweep_job:…}`` known to the configuration."""
    for resolver in (shipped, absolute, own_name, sweep_job):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
