"""Whether a job's folder holds the result that a configuration asks for, whole: then the job need not run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.app.journal import read_events
from runner.app.sweep.label import NO_RESULT
from runner.credentials import values_without_credentials
from runner.graph.model_file import file_sha256
from runner.job_folder import read_manifest
from runner.report.kept_summary import read_summary
from runner.report.summary import SUMMARY

# With a result that running again would not change; one that a budget cut short it would.
_WHOLE = (0, 3)


def finished_as(config: Mapping[str, Any], folder: Path) -> int | None:
    """Return the exit status of the job that a folder holds, where that is a job of this configuration with all its files.

    Where and how a job runs (``NO_RESULT``) makes no difference. The model's file is compared by its bytes; data is not
    looked at.

    Args:
        config: of the job, plain values.
        folder: of the job.
    """
    events = list(read_events(folder))
    if not events or events[-1]["event"] != "JobFinished" or events[-1]["exit_status"] not in _WHOLE:
        return None
    started = next((event for event in events if event["event"] == "JobStarted"), None)
    if started is None or _asked(started["config"]) != _asked(config):
        return None
    manifest = read_manifest(folder)
    if SUMMARY not in manifest or any(not _is_file(folder / name, digest) for name, digest in manifest.items()):
        return None
    summary = read_summary(folder)
    if summary is None or not _is_file(Path(config["model"]["path"]), summary.get("model_sha256", "")):
        return None
    status: int = events[-1]["exit_status"]
    return status


def _asked(config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    # As the journal keeps it.
    kept = values_without_credentials({key: value for key, value in config.items() if key not in NO_RESULT})
    return json.loads(json.dumps(kept, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace"))


def _is_file(path: Path, digest: str) -> bool:
    return path.is_file() and file_sha256(path) == digest
