"""What is looked at before every job: all that costs milliseconds and would end it, or its record, after the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner.app.options import Job
from runner.app.parsing import parse_job
from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import place
from runner.app.tracking.reach import not_reached
from runner.errors import ConfigError, OutputError, RunnerError, raise_all
from runner.graph.model_file import require_file
from runner.space import NEEDED_BYTES, free_bytes, nearest_folder

_MB = 1e6


def parsed(config: Mapping[str, Any]) -> Job:
    """Return the checked options of a job.

    Args:
        config: composed; what was to be fetched is there.

    Raises:
        RunnerError: an option is wrong; ``CombinedError`` where several are, or files or the disk are at fault as well.
    """
    try:
        job = parse_job(config)
    except RunnerError as error:
        raise_all([*error.each, *_of_model(config), *_of_disk(config)])
        raise
    if job.doctor:
        raise ConfigError(
            "doctor: a job is looked at by its command line, so that nothing is written; expected false in a file, got true. "
            "Type python -m runner doctor, with the other options behind it."
        )
    return job


def require_ready(job: Job, config: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    """Refuse a job that has begun but whose model is none, or whose disk has no room.

    Args:
        job: its options.
        config: of which they were made.
        warn: told what a job goes on with.

    Raises:
        RunnerError: something is at fault; ``CombinedError`` where several things are.
    """
    raise_all([*_of_model(config), *_of_disk(config)])
    unreached = _of_tracking(job.tracking, Path(job.paths.output).absolute())
    if unreached is not None:
        warn(unreached)


def _of_model(config: Mapping[str, Any]) -> list[RunnerError]:
    model = config.get("model")
    path = model.get("path") if isinstance(model, Mapping) else None
    if not isinstance(path, str) or path == "???":
        return []  # which the options' check says
    try:
        require_file(Path(path))
    except RunnerError as error:
        return [error]
    return []


def _of_disk(config: Mapping[str, Any]) -> list[RunnerError]:
    paths = config.get("paths")
    root = paths.get("output") if isinstance(paths, Mapping) else None
    free = free_bytes(Path(root)) if isinstance(root, str) else None
    if free is None or free >= NEEDED_BYTES:
        return []
    return [
        OutputError(
            f"paths.output: {free / _MB:.1f} MB are free at {nearest_folder(Path(str(root)))}; expected "
            f"{NEEDED_BYTES / _MB:.0f} MB, which a small job writes. Free some, or set paths.output to a folder elsewhere."
        )
    ]


def _of_tracking(options: TrackingOptions, root: Path) -> str | None:
    if options.name == "none":
        return None
    return not_reached(place(root, options, os.environ), only_here=True)
