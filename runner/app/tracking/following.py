"""A job that is logged while it runs, from the job's side. What MLflow does never changes what the job gives."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from runner.app.progress import TRACK, ProgressDisplay
from runner.app.telling import tell
from runner.app.tracking import process
from runner.app.tracking.looking import entry, where_to_look
from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import Place, place
from runner.app.tracking.process import Logged, NotLogged, TrackingProcess
from runner.credentials import without_credentials
from runner.events import StageAdvanced, StageFinished, StageStarted
from runner.job_folder import replace_listed
from runner.printable import escaped_json
from runner.report.summary import SUMMARY

# Whoever interrupts does not want to wait for MLflow; the process closes the run without us.
_INTERRUPTED_SECONDS = 1.0


class Following:
    """The run of a job that is under way."""

    def __init__(self, folder: Path, root: Path, options: TrackingOptions) -> None:
        self._folder, self._root, self._options = folder.absolute(), root, options
        self._process: TrackingProcess | None = None
        try:
            self._process = process.take()
            self._process.follow(self._folder, root, options)
        except OSError as error:
            self._reason = f"no process could be started: {error.strerror}"

    def end(self, display: ProgressDisplay, *, finished: bool, interrupted: bool, tells: bool = True) -> None:
        """Wait a bounded time until the run is whole, and tell where it is, or how it is logged later.

        Args:
            display: of the job; shows that it goes on.
            finished: whether the job has a result; what lies there otherwise is an earlier job's.
            interrupted: whether the user waits for nothing but the end.
            tells: whether it is told where the run is.
        """
        logged = None
        start = time.perf_counter()
        try:
            display(StageStarted(TRACK, 1))
            logged = self._logged(_INTERRUPTED_SECONDS if interrupted else self._options.timeout)
            display(StageAdvanced(TRACK, 1))
            display(StageFinished(TRACK, time.perf_counter() - start))
        except NotLogged as error:
            display.close()
            kept = "All results are" if finished else "What the job said is kept"
            tell(
                f"the run is not in MLflow ({error}). {kept} in {self._folder}; to log it later: "
                f"{log_command(self._folder, self._options.uri)}",
                "warning",
            )
        else:
            display.close()
            if tells:
                self._tell(logged)
        finally:
            display.close()
            if finished:
                self._add_to_summary(time.perf_counter() - start, logged)

    def _logged(self, seconds: float) -> Logged:
        if self._process is None:
            raise NotLogged(self._reason)
        try:
            logged = self._process.end(seconds, process.patience(seconds))
        except TimeoutError:
            if seconds < self._options.timeout:
                raise NotLogged(
                    "it has not answered yet, and is told of the interruption while this command ends"
                ) from None
            self._process.kill()
            TrackingProcess.silent_before = True
            raise NotLogged(
                f"{self._place().shown}: no answer within tracking.timeout, {self._options.timeout:g} s"
            ) from None
        TrackingProcess.silent_before = False
        process.put_back(self._process)
        return logged

    def _add_to_summary(self, seconds: float, logged: Logged | None) -> None:
        try:
            summary = json.loads((self._folder / SUMMARY).read_text(encoding="utf-8"))
            summary["seconds"]["total"] = round(summary["seconds"]["total"] + seconds, 3)
            summary["seconds"]["track"] = round(seconds, 3)
            if logged is not None:
                summary["mlflow"] = entry(logged, self._place())
            replace_listed(self._folder, SUMMARY, escaped_json(json.dumps(summary, indent=2, ensure_ascii=False)))
        except (OSError, ValueError, KeyError) as error:
            # Somebody took the folder, or filled the disk, since the job wrote it.
            tell(f"{self._folder / SUMMARY} does not tell of MLflow ({error!r}).", "warning")

    def _place(self) -> Place:
        return place(self._root, self._options, os.environ)

    def _tell(self, logged: Logged) -> None:
        print(where_to_look(logged, self._place(), self._folder), file=sys.stderr)


def log_command(folder: Path, uri: str | None) -> str:
    """Return the command that logs a job's folder to where its options name; a password has to be put in."""
    program = "quant-log-run" if shutil.which("quant-log-run") else "python -m runner.app.log_run"
    where = "" if uri is None else f" --uri {shlex.quote(without_credentials(uri))}"
    return f"{program} {shlex.quote(str(folder))}{where}"
