"""Where a run is looked at: a command that can be pasted into a shell, and the address of the page."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote

from runner.app.journal import read_events
from runner.app.tracking.entries import first
from runner.app.tracking.place import Place, without_password
from runner.app.tracking.process import Logged

_LOCAL = "http://127.0.0.1:5000"


def where_to_look(logged: Logged, where: Place, folder: Path) -> str:
    """Return how a job's run is looked at, or, of a sweep's job, the runs of the whole sweep.

    Args:
        logged: the run.
        where: the place that its job named.
        folder: of the job.
    """
    started = first(read_events(folder), "JobStarted") or {}
    sweep = started.get("tags", {}).get("sweep")
    page = f"#/experiments/{logged.experiment}/runs/{logged.run}" if sweep is None else sweep_page(logged, sweep)
    if where.is_server:
        return f"Compare runs: {without_password(logged.uri).rstrip('/')}/{page}"
    return f"Compare runs: {interface_command(logged, where)}\n  then open {_LOCAL}/{page}"


def sweep_page(logged: Logged, sweep: str) -> str:
    """Return the page that charts the runs of a sweep."""
    chosen = quote(f'tags.sweep = "{sweep}"', safe="")
    return f"#/experiments/{logged.experiment}/runs?searchFilter={chosen}&compareRunsMode=CHART"


def interface_command(logged: Logged, where: Place) -> str:
    """Return the command that shows a database's runs; a password is never printed."""
    if where.from_environment:
        return 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'
    return f"mlflow ui --backend-store-uri {shlex.quote(without_password(logged.uri))}"
