"""A job's folder logged to MLflow after the job."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runner.app.journal import read_events
from runner.app.log_run import main
from runner.app.tracking.follow import Tail
from runner.app.tracking.run import _files
from tests.app.conftest import Command, Tiny
from tests.app.tracking.warnings import pytestmark  # noqa: F401 - MLflow's own warnings


def test_a_job_that_was_not_tracked_is_logged_later(
    tiny: Tiny, run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*tiny.options()).status == 0
    root = tmp_path / "outputs"
    assert not (root / "mlflow.db").exists()
    assert main([str(root / "acc_auto"), "--output", str(root)]) == 0
    assert f"sqlite:///{root / 'mlflow.db'}" in capsys.readouterr().out

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("quantization")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED" and logged.data.tags["status"] == "met"
    assert "loss" in logged.data.metrics
    assert {item.path for item in client.list_artifacts(logged.info.run_id)} >= {"summary.json", "results"}
    # Again: the same run.
    assert main([str(root / "acc_auto"), "--models"]) == 0
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id])] == [logged.info.run_id]
    models = [model.name for model in client.search_logged_models([experiment.experiment_id])]
    assert sorted(models) == ["net_deploy_model", "net_fake_quant_model"]
    assert main([str(root / "acc_auto"), "--models"]) == 0
    assert len(client.search_logged_models([experiment.experiment_id])) == 2


def test_root_is_the_jobs_own_wherever_the_command_is_given(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*tiny.options()).status == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main([str(tmp_path / "outputs" / "acc_auto")]) == 0
    assert (tmp_path / "outputs" / "mlflow.db").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_time_that_is_none_is_refused(
    tiny: Tiny, run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*tiny.options()).status == 0
    assert main([str(tmp_path / "outputs" / "acc_auto"), "--timeout", "0"]) == 2
    assert "tracking.timeout: expected more than 0 seconds, got 0.0" in capsys.readouterr().err


def test_a_folder_without_a_job_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "events.jsonl: expected the events of a job that started, got no such file" in capsys.readouterr().err
    (tmp_path / "events.jsonl").write_text("")
    assert main([str(tmp_path)]) == 2
    assert "got none of them" in capsys.readouterr().err


def folder_of(place: Path, tracking: dict[str, Any], output: Path, *files: str) -> Path:
    """Return the folder of a job that has ended, with its events as it wrote them, or as somebody else did."""
    place.mkdir(parents=True)
    config = {"tracking": tracking, "paths": {"output": str(output)}}
    started = {"event": "JobStarted", "time": 1.0, "label": "a", "params": {}, "config": config, "tags": {"job": "1"}}
    ended = {"status": "met", "exit_status": 0, "metrics": {"loss": 0.5}, "files": files}
    finished = {"event": "JobFinished", "time": 2.0, "told": "", **ended}
    (place / "events.jsonl").write_text(f"{json.dumps(started)}\n{json.dumps(finished)}\n", encoding="utf-8")
    return place


@pytest.mark.parametrize("uri", ["http://evil.example:5000", "sqlite:////home/me/other.db", "file:///home/me/runs"])
def test_a_folder_does_not_choose_where_it_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = folder_of(tmp_path / "outputs" / "job", {"uri": uri}, tmp_path / "outputs")
    assert main([str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {folder}: its job was to be logged to {uri}. A folder does not choose where its")
    assert f"say --uri {uri}, or set MLFLOW_TRACKING_URI" in told


def test_a_folder_that_was_moved_does_not_choose_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "unpacked", {}, tmp_path / "home")
    assert main([str(folder)]) == 2
    told = capsys.readouterr().err
    assert f"its job wrote below {tmp_path / 'home'}, and the folder lies elsewhere. Say where its run goes" in told
    assert not (tmp_path / "home").exists()


def test_files_outside_the_folder_are_not_sent(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a.yaml").write_text("secret", encoding="utf-8")
    names = ("../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "deep/secret.txt", "own.txt", "pipe")
    folder = folder_of(tmp_path / "job", {}, tmp_path, *names)
    (folder / "link.txt").symlink_to("../secret.txt")
    (folder / "deep").symlink_to(tmp_path)
    (folder / ".hydra").symlink_to(tmp_path / "secrets")
    (folder / "own.txt").write_text("own", encoding="utf-8")
    os.mkfifo(folder / "pipe")
    assert [path.relative_to(folder).as_posix() for path in _files(folder, list(read_events(folder)))] == [
        "events.jsonl",
        "own.txt",
    ]


@pytest.mark.parametrize("line", ["[]", "1", '{"event": 1}', "{}", '"JobStarted"'])
def test_lines_that_are_no_events_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    (tmp_path / "events.jsonl").write_text(f"{line}\n", encoding="utf-8")
    assert main([str(tmp_path)]) == 2
    assert "got none of them" in capsys.readouterr().err
    tail = Tail(tmp_path)
    assert not tail.more() and tail.events == []


@pytest.mark.parametrize("config", [{}, {"paths": 1, "tracking": []}, {"tracking": {"uri": 1, "experiment": {}}}])
def test_events_of_another_form_name_no_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: object
) -> None:
    started = {"event": "JobStarted", "time": 1.0, "label": "a", "params": {}, "config": config, "tags": {}}
    line = json.dumps(started)
    (tmp_path / "events.jsonl").write_text(f"{line}\n", encoding="utf-8")
    assert main([str(tmp_path)]) == 2
    assert "its job wrote below an unknown root, and the folder lies elsewhere" in capsys.readouterr().err
