"""A job as a tracker lists it: a label, flat options and tags."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.app.loudness import KEYS as LOUDNESS
from runner.app.options import AccAutoJob, Job
from runner.report.environment import versions

# Where and how a job runs, and who asked for it.
_NO_OPTIONS = ("paths", "tracking", "sweep", "tune", "report", "hparams_search", "doctor", *LOUDNESS)


def label(job: Job, metric: str, strategy: str) -> str:
    """Return the run's short readable name, with the deciding metric's and the strategy's."""
    name = job.model.name or Path(job.model.path).stem
    if isinstance(job, AccAutoJob):
        return f"{name} {metric}<{job.target_loss:g} {strategy}"
    return f"{name} convert_qat"


def params(config: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, Any]:
    """Return flat options: the knobs that sweeps turn first, then the chosen groups, then the rest."""
    first = {key: config[key] for key in ("mode", "target_loss") if key in config}
    # A preset such as quant= sets others' values and has none of its own, and is just what people compare.
    groups = {
        key: value for key, value in choices.items() if "/" not in key and key not in first and key not in _NO_OPTIONS
    }
    rest = {}
    for key, value in _flat(config, ""):
        top = key.partition(".")[0]
        if key not in first and top not in _NO_OPTIONS and not key.endswith("_target_"):
            rest[key] = value
    return {**first, **groups, **rest}


def _flat(value: Any, key: str) -> list[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(value, Mapping):
        return [entry for name, inner in value.items() for entry in _flat(inner, f"{key}.{name}" if key else str(name))]
    return [(key, value)]


def own_tags(job: Job, folder: Path) -> dict[str, str]:
    """Return what is known of a run before it begins: which job it is and where, its mode, and versions."""
    found = {f"version.{name}": version for name, version in versions().items()}
    own = {"kind": "job", "mode": job.mode, "mlflow.source.name": "quant-runner", **found}
    # The job is known by its number wherever its folder is; the folder's next job closes what this one leaves open.
    return own | {"job": uuid.uuid4().hex, "folder": f"{socket.gethostname()}:{folder.absolute()}"}
