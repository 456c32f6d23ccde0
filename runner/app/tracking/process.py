"""The process that logs jobs, as the job's own process sees it: ordered, listened to, and left behind when it takes too long.

One is kept for all jobs of this process, for MLflow takes seconds to load.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.app.tracking.options import TrackingOptions
from runner.credentials import without_credentials

# That MLflow is loaded, or a new store's tables are made, is this machine's own work, and waited for longer.
_BUSY_SECONDS = 60.0
# What the runner, and libraries that it loads, set for themselves: nothing that MLflow looks at.
_OWN = ("HYDRA_", "KMP_", "OMP_", "MKL_", "OPENBLAS_")
# A server that did not answer an earlier job is not given the whole time again.
_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Logged:
    """Where a job's run is now."""

    run: str
    experiment: str
    uri: str


class NotLogged(Exception):  # noqa: N818 - no fault of the program
    """A run could not be logged; the message says why."""


class TrackingProcess:
    """One process that logs one job after the other."""

    silent_before = False

    def __init__(self) -> None:
        self.made_in = _surroundings()
        # Of its last line is told if it dies.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        package = Path(__file__).parents[3]
        paths = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            # A module in the directory of the command shall not stand for one of MLflow's.
            [sys.executable, "-P", "-m", "runner.app.tracking.follow"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": paths},
            # Ctrl-C is for the job: its run is then closed here.
            start_new_session=True,
        )
        self._said: queue.Queue[tuple[float, Mapping[str, Any]]] = queue.Queue()
        self._state, self._since, self._worked = "busy", time.monotonic(), 0.0
        threading.Thread(target=self._listen, daemon=True).start()

    def follow(self, folder: Path, root: Path, options: TrackingOptions) -> None:
        """Begin to log a job."""
        self._state, self._since = "busy", time.monotonic()
        self._order({"follow": {"folder": str(folder), "root": str(root), "options": asdict(options)}})

    def end(self, seconds: float, call: float) -> Logged:
        """Tell that the job has ended, and wait until its run is whole.

        Args:
            seconds: to wait at most, apart from what this machine itself takes to load MLflow and to make a new store.
            call: that one call of MLflow may take, counted from its beginning, which may be before the job's end.

        Raises:
            NotLogged: it failed.
            TimeoutError: it takes longer; the process still tries.
        """
        self._order({"end": True})
        ended = time.monotonic()
        while True:
            wait = self._until(ended, seconds, call) - time.monotonic()
            try:
                at, said = self._said.get(timeout=max(0.0, wait))
            except queue.Empty:
                raise TimeoutError from None
            if "done" in said:
                return Logged(**said["done"])
            if "failed" in said:
                raise NotLogged(said["failed"])
            if self._state == "busy":
                self._worked = at
            self._state, self._since = said["state"], at

    def kill(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _until(self, ended: float, seconds: float, call: float) -> float:
        if self._state == "busy":
            return self._since + _BUSY_SECONDS
        call_from = self._since if self._state == "asking" else max(ended, self._since)
        return min(max(ended, self._worked) + seconds, call_from + call)

    def _order(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which `end` tells
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines, self._errors as errors:
            for line in lines:
                self._said.put((time.monotonic(), json.loads(line)))
            status = self._process.wait()
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit status {status}"]
        self._said.put((time.monotonic(), {"failed": f"MLflow's process ended: {without_credentials(last[0])}"}))


_kept: list[TrackingProcess] = []


def take() -> TrackingProcess:
    """Return a process that has nothing to do: the kept one, if it was made in the same surroundings."""
    while _kept:
        process = _kept.pop()
        if process.made_in == _surroundings():
            return process
        process.kill()
    return TrackingProcess()


def put_back(process: TrackingProcess) -> None:
    """Keep a process for the next job."""
    _kept.append(process)


def prepare() -> None:
    """Have a process load MLflow already, while the job loads what it needs."""
    with contextlib.suppress(OSError):  # the job will tell
        put_back(take())


@atexit.register
def end_kept() -> None:
    """End all processes that have nothing to do."""
    while _kept:
        process = _kept.pop()
        if process.made_in[0] == os.getpid():
            process.kill()


def patience(timeout: float) -> float:
    """Return how long one call of MLflow may take."""
    return min(timeout, _AGAIN_SECONDS) if TrackingProcess.silent_before else timeout


def _surroundings() -> tuple[int, str, dict[str, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return os.getpid(), os.getcwd(), environment
