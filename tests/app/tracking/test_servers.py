"""MLflow that does not answer costs a job seconds and a sentence, whatever it does, and never the result.

Each job has two minutes until its test gives it up; one that waits for the server would need longer.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from runner.app import log_run
from runner.app.tracking.store import LOCK
from runner.job_folder import read_manifest
from tests.app.conftest import Tiny
from tests.app.tracking.conftest import RunStore
from tests.app.tracking.servers import BEHAVIOURS, server
from tests.app.tracking.warnings import pytestmark  # noqa: F401
from tests.command import ROOT, Ended, command, digests, environment

REASONS = {
    "refuses": "Connection refused",
    "silent": "no answer within tracking.timeout, 2 s",
    "drips": "no answer within tracking.timeout, 2 s",
}


def tracked(tiny: Tiny, **more: object) -> list[str]:
    """Return the tiny job with MLflow and little patience."""
    return tiny.options(**({"tracking": "mlflow", "tracking__experiment": "own", "tracking__timeout": 2} | more))


def later(ended: Ended) -> list[str]:
    """Return the command that a job told of, as a shell would take it apart."""
    (told,) = re.findall(r"^warning: the run is not in MLflow .* to log it later: (.*)$", ended.err, re.MULTILINE)
    return shlex.split(told)


def holds(folder: Path) -> bool:
    """Return whether a folder holds a whole result, as its manifest has it."""
    manifest, found = read_manifest(folder), digests(folder)
    return bool(manifest) and {name: found[name] for name in manifest} == manifest


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_server_that_misbehaves_costs_a_sentence(tiny: Tiny, tmp_path: Path, behaviour: str) -> None:
    with server(behaviour) as address:
        ended = command(*tracked(tiny, tracking__uri=address), cwd=tmp_path)
    folder = tmp_path / "outputs" / "acc_auto"
    assert ended.status == 0
    assert f"warning: the run is not in MLflow ({address}: {REASONS.get(behaviour, '')}" in ended.err
    assert f"All results are in {folder};" in ended.err
    assert "Traceback" not in ended.err
    assert later(ended)[-3:] == [str(folder), "--uri", address]
    assert holds(folder)
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["seconds"]["track"] > 0


def test_sweep_with_a_silent_server_has_every_result(tiny: Tiny, tmp_path: Path) -> None:
    with server("silent") as address:
        ended = command("-m", *tracked(tiny, tracking__uri=address, target_loss="80,90"), cwd=tmp_path)
    assert ended.status == 0
    assert ended.err.count("warning: the run is not in MLflow") == 2
    assert len(list((tmp_path / "outputs" / "sweeps").glob("*/*/manifest.json"))) == 2


def test_exit_status_of_a_missed_target_stays(tiny: Tiny, tmp_path: Path) -> None:
    with server("drips") as address:
        ended = command(*tracked(tiny, tracking__uri=address, target_loss=0), cwd=tmp_path)
    assert ended.status == 3, ended.err
    later(ended)


def test_lock_that_somebody_holds_costs_a_sentence(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    with FileLock(tmp_path / "outputs" / LOCK):
        ended = command(*tracked(tiny), cwd=tmp_path)
    assert ended.status == 0 and holds(tmp_path / "outputs" / "acc_auto")
    assert later(ended)[-1] == str(tmp_path / "outputs" / "acc_auto")


def test_store_that_somebody_writes_without_end_costs_a_sentence(tiny: Tiny, store: RunStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(store.root / "mlflow.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        ended = command(*tracked(tiny), cwd=tmp_path)
    finally:
        connection.close()
    assert ended.status == 0 and holds(store.root / "acc_auto")
    later(ended)


def test_store_that_is_no_database_costs_a_sentence(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "mlflow.db").write_bytes(b"not a database " * 1000)
    ended = command(*tracked(tiny), cwd=tmp_path)
    assert ended.status == 0 and holds(tmp_path / "outputs" / "acc_auto")
    later(ended)


def test_store_that_cannot_be_written_costs_a_sentence(tiny: Tiny, tmp_path: Path) -> None:
    ended = command(*tracked(tiny, tracking__uri="sqlite:////proc/none/mlflow.db"), cwd=tmp_path)
    assert ended.status == 0 and holds(tmp_path / "outputs" / "acc_auto")
    later(ended)


def test_database_server_that_is_down_costs_a_sentence(tiny: Tiny, tmp_path: Path) -> None:
    address = "postgresql://somebody:secret@127.0.0.1:1/runs"
    ended = command(*tracked(tiny, tracking__uri=address), cwd=tmp_path)
    assert ended.status == 0 and holds(tmp_path / "outputs" / "acc_auto")
    assert "postgresql://somebody@127.0.0.1:1/runs: " in ended.err and "secret" not in ended.err
    later(ended)


def test_mlflow_that_cannot_be_loaded_costs_a_sentence(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text("raise RuntimeError('half installed')")
    line = [sys.executable, "-m", "runner", *tracked(tiny)]
    paths = f"{ROOT}{os.pathsep}{tmp_path}"
    done = subprocess.run(
        line, cwd=tmp_path, env=environment(PYTHONPATH=paths), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert "(MLflow's process ended: RuntimeError: half installed). All results are in" in done.stderr


def test_command_that_was_told_logs_the_job_when_the_store_is_back(
    tiny: Tiny, store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FileLock(store.root / LOCK):
        ended = command(*tracked(tiny), cwd=tmp_path)
    assert store.runs() == []
    for _ in "12":
        assert log_run.main(later(ended)[-1:]) == 0
    (run,) = store.runs()
    assert run.info.status == "FINISHED" and "loss" in run.data.metrics


@pytest.fixture
def silent(tiny: Tiny, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The folder of a job that was not logged, and a server that does not answer."""
    assert command(*tiny.options(), cwd=tmp_path).status == 0
    with server("drips") as address:
        yield str(tmp_path / "outputs" / "acc_auto"), address


def test_logging_later_gives_up_too(silent: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, address = silent
    assert log_run.main([folder, "--uri", address, "--timeout", "2"]) == 1
    assert capsys.readouterr().err == f"error: not logged: {address}: no answer within 2 s.\n"


def test_refused_job_that_cannot_be_logged_says_what_there_is(tiny: Tiny, tmp_path: Path) -> None:
    with server("refuses") as address:
        ended = command(*tracked(tiny, tracking__uri=address, model__path="absent.onnx"), cwd=tmp_path)
    folder = tmp_path / "outputs" / "acc_auto"
    assert ended.status == 2
    assert f"What the job said is kept in {folder}; to log it later:" in ended.err
    assert later(ended)[-3:] == [str(folder), "--uri", address]
