"""The command line of a study, in this process for refusals and in its own for trials, on the tiny network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from runner.tune.main import main
from tests.app.conftest import Tiny, tiny
from tests.command import Ended, environment

__all__ = ["tiny"]  # a fixture of the jobs' tests
Command = Callable[..., Ended]
_SECONDS = 120


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    """Run the command line of a study in this process, from an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def started(*arguments: str) -> Ended:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["runner.tune", *arguments])
        capsys.readouterr()
        try:
            status = main()
        except SystemExit as error:
            status = int(error.code or 0)
        out, err = capsys.readouterr()
        return Ended(status, out, err)

    yield started
    GlobalHydra.instance().clear()


def begin(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a study in a process of its own."""
    line = [sys.executable, "-m", "runner.tune", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=cwd, env=environment(COLUMNS="80"), stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for its end."""
    out, err = process.communicate(timeout=_SECONDS)
    return Ended(process.returncode, out, err)


def study(cwd: Path, *arguments: str) -> Ended:
    """Run a study to its end."""
    return finish(begin(cwd, *arguments))


def options(tiny: Tiny, *more: str, **changes: object) -> list[str]:
    """Return the command line of a small study; trials are told from each other by kl."""
    common = tiny.options(**{"observer": None, "calibration.count": None} | changes)
    return [*common, "tune.study=s", "tune.objective=kl", *more]


def told(cwd: Path, name: str = "s") -> dict[str, Any]:
    """Return a study's tune.json."""
    path = cwd / "outputs" / "tune" / name / "tune.json"
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read
