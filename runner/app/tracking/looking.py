"""Where a run is looked at: a command that can be pasted into a shell, and the address of the page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner.app.journal import read_events
from runner.app.tracking.entries import first
from runner.app.tracking.place import Place
from runner.app.tracking.process import Logged
from runner.credentials import without_credentials

_LOCAL = "http://127.0.0.1:5000"


def entry(logged: Logged, where: Place) -> dict[str, str]:
    """Return what a summary keeps of a run: its number, its experiment's, where the pages are, what command gives them."""
    found = {"experiment": logged.experiment, "run": logged.run}
    if where.is_server:
        return {**found, "pages": without_credentials(logged.uri).rstrip("/")}
    return {**found, "pages": _LOCAL, "command": interface_command(logged, where)}


def sweep_comparison(summaries: Iterable[Mapping[str, Any] | None], sweep: str) -> str:
    """Return how the runs of a sweep are looked at, in charts and side by side; nothing where there are none.

    Args:
        summaries: of the sweep's jobs, None for a job without.
        sweep: its name.
    """
    entries = [summary["mlflow"] for summary in summaries if summary is not None and "mlflow" in summary]
    if not entries:
        return ""
    together = [one for one in entries if one["pages"] == entries[0]["pages"]]
    runs, experiments = (list(dict.fromkeys(one[key] for one in together)) for key in ("run", "experiment"))
    chosen = f"runs={_listed(runs)}&experiments={_listed(experiments)}"
    pages, command = entries[0]["pages"], entries[0].get("command")
    charts = f"{pages}/{sweep_page(entries[0]['experiment'], sweep)}"
    beside = f"{pages}/#/compare-runs?{chosen}"
    if command is None:
        return f"The sweep's runs: {charts}\nCompare runs: {beside}"
    return f"The sweep's runs: {command}\n  then open {charts}\nCompare runs: the same command\n  then open {beside}"


def _listed(names: list[str]) -> str:
    return quote(json.dumps(names, separators=(",", ":")), safe="")


def where_to_look(logged: Logged, where: Place, folder: Path) -> str:
    """Return how a job's run is looked at, or, of a sweep's job, the runs of the whole sweep.

    Args:
        logged: the run.
        where: the place that its job named.
        folder: of the job.
    """
    started = first(read_events(folder), "JobStarted") or {}
    tags = started.get("tags")
    sweep = tags.get("sweep") if isinstance(tags, dict) else None
    page = (
        f"#/experiments/{logged.experiment}/runs/{logged.run}"
        if sweep is None
        else sweep_page(logged.experiment, sweep)
    )
    what = "The run" if sweep is None else "The sweep's runs"
    if where.is_server:
        return f"{what}: {without_credentials(logged.uri).rstrip('/')}/{page}"
    return f"{what}: {interface_command(logged, where)}\n  then open {_LOCAL}/{page}"


def sweep_page(experiment: str, sweep: str) -> str:
    """Return the page that charts the runs of a sweep.

    Args:
        experiment: its number.
        sweep: the sweep's name.
    """
    chosen = quote(f'tags.sweep = "{sweep}"', safe="")
    return f"#/experiments/{experiment}/runs?searchFilter={chosen}&compareRunsMode=CHART"


def interface_command(logged: Logged, where: Place) -> str:
    """Return the command that shows a database's runs; a password is never printed."""
    if where.from_environment:
        return 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'
    return f"mlflow ui --backend-store-uri {shlex.quote(without_credentials(logged.uri))}"
