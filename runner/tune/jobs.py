"""Trials as jobs: each ``python -m runner`` in a process and a folder of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.app.journal import read_events
from runner.app.returned import WITH_RESULT
from runner.credentials import without_credentials
from runner.report.kept_summary import read_summary
from runner.tune.study import Taken
from runner.tune.trial import Outcome
from runner.tune.values import override_text

CONSOLE = "console.log"
# Of a summary: what a study tells of its trials.
_KEPT = (
    "loss",
    "target_loss",
    "target_met",
    "status",
    "float_metric",
    "quantized_metric",
    "macs_int8_share",
    "layers_int8",
)
_KEPT_TOO = ("layers_total", "agreement", "kl", "sqnr_db")


@dataclass(frozen=True, slots=True)
class Command:
    """The part of the command line that all trials have in common.

    Attributes:
        study: its name.
        folder: of the study.
        flags: ``--config-dir`` and its like.
        overrides: what the user gave, but for ``tune.…``.
    """

    study: str
    folder: Path
    flags: tuple[str, ...]
    overrides: tuple[str, ...]

    def trial_folder(self, number: int) -> Path:
        """Return the folder of a trial's job."""
        return self.folder / "trials" / f"{number:04d}"

    def of_trial(self, taken: Taken) -> list[str]:
        """Return the arguments of a trial's job."""
        place = f"hydra.run.dir={override_text(str(self.trial_folder(taken.number)))}"
        varied = ", ".join(f"{key}={value}" for key, value in taken.setting.items())
        mark = [
            f"++tune.study={self.study}",
            f"++tune.trial={taken.number}",
            f"++tune.varied={override_text(varied)}",
        ]
        return [*self.flags, *self.overrides, *(f"{k}={v}" for k, v in taken.setting.items()), *mark, place]

    def shown(self, setting: Mapping[str, str]) -> str:
        """Return the command that runs a setting again, ready to be copied; a password has to be put in."""
        arguments = [*self.flags, *self.overrides, *(f"{key}={value}" for key, value in setting.items())]
        return shlex.join(["python", "-m", "runner", *map(without_credentials, arguments)])


@dataclass(slots=True)
class Running:
    """A trial whose job is under way."""

    taken: Taken
    folder: Path
    process: subprocess.Popen[bytes]
    began: float

    def ended(self) -> Outcome | None:
        """Return how the job ended, or None while it runs."""
        if self.process.poll() is None:
            return None
        return outcome(self.process.returncode, self.folder, time.perf_counter() - self.began)

    def interrupt(self) -> None:
        """Ask the job to end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the job at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def start(command: Command, taken: Taken, lock: Path) -> Running:
    """Start a trial's job.

    Args:
        command: what all trials have in common.
        taken: the trial.
        lock: a file that the job holds locked while it lives.
    """
    folder = command.trial_folder(taken.number)
    folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-m", "runner.tune.child", str(os.getpid()), str(lock), *command.of_trial(taken)]
    with (folder / CONSOLE).open("wb") as console:
        # A session of its own: Ctrl-C reaches the study alone, which then ends its jobs.
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
    return Running(taken, folder, process, time.perf_counter())


def outcome(exit_status: int, folder: Path, seconds: float) -> Outcome:
    """Return what a job that has ended left in its folder."""
    seconds = round(seconds, 3)
    if exit_status in WITH_RESULT:
        summary = read_summary(folder)
        if summary is not None:
            kept = {key: summary[key] for key in (*_KEPT, *_KEPT_TOO) if key in summary}
            kept["seconds"] = {"model_work": (summary.get("seconds") or {}).get("model_work")}
            return Outcome(exit_status, "", seconds, kept)
    return Outcome(exit_status, _reason(exit_status, folder), seconds)


def _reason(exit_status: int, folder: Path) -> str:
    if exit_status < 0:
        return f"ended by {_signal(-exit_status)}; {folder / CONSOLE} holds what it said"
    failed = [event for event in read_events(folder) if event.get("event") == "JobFailed"]
    if failed:
        return str(failed[-1].get("message", ""))
    said = _last_line(folder / CONSOLE)
    return said or f"ended with status {exit_status} and no result"


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in {one.value for one in signal.Signals} else f"signal {number}"


def _last_line(path: Path) -> str:
    try:
        lines: Sequence[str] = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("error: ") if lines else ""
