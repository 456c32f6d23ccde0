"""The end of a sweep: what came of its jobs is read from their folders, so it does not matter where they ran."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.app import json_lines
from runner.app.held_folder import is_held, release
from runner.app.journal import read_events
from runner.app.loudness import Loudness
from runner.app.sweep.callback import Begun
from runner.app.sweep.launchers import kill_launched, stop_launched
from runner.app.sweep.outcome import sweep_status
from runner.app.sweep.plan import Plan, PlannedJob
from runner.app.telling import fault, tell
from runner.app.tracking.looking import sweep_comparison
from runner.plain_values import fits
from runner.printable import printable, printable_lines
from runner.report.kept_summary import read_summary
from runner.report.layout import standard_output
from runner.report.page import PAGE
from runner.report.sweep.files import sweep_json, write_sweep
from runner.report.sweep.swept import Sweep, SweptJob
from runner.report.sweep.table import print_sweep, sweep_verdict

INTERRUPTED = 130
_LONGEST_WAIT, _PAUSE = 5.0, 0.2


def end_sweep(begun: Begun, *, interrupted: bool) -> int:
    """Write what a sweep found, print it, and return the exit status.

    A launcher that gives up on one job may leave others at work: they are waited for, after an interruption for seconds.
    """
    if interrupted:
        stop_launched()
    _wait(begun, _LONGEST_WAIT if interrupted else math.inf)
    if interrupted:
        kill_launched()
    if begun.tail is not None:
        begun.tail.stop()
    sweep, plan = swept(begun.folder, begun.plan, interrupted=interrupted), begun.plan.to_json()
    status = sweep_status([job.exit_status for job in sweep.jobs])
    _print(sweep, begun.loudness)
    try:
        write_sweep(sweep, plan)
    except OSError as error:
        tell(f"the sweep's table is not in {begun.folder}: {fault(error)} The jobs' results are.", "warning")
    release(begun.folder, begun.lock)
    with json_lines.json_lines(begun.loudness == "json"):
        told = json.loads(sweep_json(sweep, plan))
        json_lines.say_end(INTERRUPTED if interrupted else status, folder=str(begun.folder), sweep=told)
    return status


def _print(sweep: Sweep, loudness: Loudness) -> None:
    if loudness == "json":
        return
    if loudness == "quiet":
        print(printable(sweep_verdict(sweep)))
        return
    print_sweep(sweep, standard_output(), full=loudness == "full")
    compared = sweep_comparison((job.summary for job in sweep.jobs), sweep.folder.name)
    if compared:
        print(printable_lines(compared), file=sys.stderr)


def _wait(begun: Begun, seconds: float) -> None:
    """Wait until no job of a sweep is at work, at most so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(is_held, begun.folder.glob("[0-9]*_*"))):
        time.sleep(_PAUSE)


def swept(folder: Path, plan: Plan, *, interrupted: bool = False) -> Sweep:
    """Return what came of the jobs of a sweep so far, from their folders.

    Args:
        folder: of the sweep.
        plan: of it.
        interrupted: whether the sweep was; its jobs without an end were then too.
    """
    planned = plan.jobs if plan.jobs is not None else list(_found(folder, plan))
    keys = list(plan.keys) or list(dict.fromkeys(key for job in planned for key in job.varied))
    jobs = [_outcome(folder / job.folder, job, interrupted=interrupted) for job in planned]
    return Sweep(folder, keys, tuple(jobs))


def _found(folder: Path, plan: Plan) -> Iterator[PlannedJob]:
    """Yield the jobs that a sweeper made up, in their order."""
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name.partition("_")[0].isdecimal()]
    for path in sorted(folders, key=lambda path: int(path.name.partition("_")[0])):
        started = next((event for event in read_events(path) if event["event"] == "JobStarted"), None)
        told = _varied(started["tags"]) if started is not None else {}
        yield PlannedJob(int(path.name.partition("_")[0]), path.name, told, {})


def _varied(tags: Mapping[str, str]) -> Mapping[str, str]:
    try:
        told = json.loads(tags.get("sweep.varied", "{}"))
    except (ValueError, RecursionError):
        return {}
    return told if fits(told, Mapping[str, str]) else {}


def _outcome(folder: Path, job: PlannedJob, *, interrupted: bool) -> SweptJob:
    last = _last_event(folder)
    common: dict[str, Any] = {"number": job.number, "folder": job.folder, "varied": job.varied}
    if last.get("event") == "JobFinished":
        summary = read_summary(folder) or {}
        report = f"{job.folder}/{PAGE}" if (folder / PAGE).is_file() else ""
        status = {"status": last["status"], "exit_status": last["exit_status"]}
        return SweptJob(**common, **status, summary=summary, report=report)
    if last.get("event") == "JobFailed" and last["exit_status"] != INTERRUPTED:
        return SweptJob(**common, status="failed", exit_status=last["exit_status"], reason=last["message"])
    if not last:
        return SweptJob(**common, status="not run", exit_status=None)
    if is_held(folder):
        return SweptJob(**common, status="running", exit_status=None)
    if interrupted or last.get("event") == "JobFailed":
        return SweptJob(**common, status="interrupted", exit_status=INTERRUPTED)
    why = "ended without a result: its process was killed, or its machine stopped"
    return SweptJob(**common, status="failed", exit_status=1, reason=why)


def _last_event(folder: Path) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for event in read_events(folder):
        last = dict(event)
    return last
