"""Configurations of sweeps as Hydra hands them to its callbacks, and folders as jobs leave them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from runner.app.places import register_resolvers, shipped
from runner.events import Event, JobFailed, JobFinished, JobStarted, to_json


@contextlib.contextmanager
def sweep_config(*overrides: str) -> Iterator[DictConfig]:
    """Give the configuration of a whole sweep, Hydra still being there."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield loader.load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)


def job_folder(folder: Path, events: Iterable[dict[str, Any]], summary: dict[str, Any] | None = None) -> None:
    """Write a job's folder as a job leaves it."""
    (folder / ".hydra").mkdir(parents=True)
    lines = [json.dumps(event) + "\n" for event in events]
    if lines:
        (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def finished(status: str, exit_status: int) -> list[dict[str, Any]]:
    """Return the events of a job with a result."""
    return [started(), _timed(JobFinished(status, exit_status, {}, ()))]


def failed(message: str, exit_status: int) -> list[dict[str, Any]]:
    """Return the events of a job that failed."""
    return [started(), _timed(JobFailed("ModelError", message, exit_status))]


def started(**tags: str) -> dict[str, Any]:
    """Return a job's first event."""
    return _timed(JobStarted("net", {}, {}, tags))


def _timed(event: Event) -> dict[str, Any]:
    return {"time": 1.0, **to_json(event)}
