"""A job's folder logged to MLflow after the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.app.log_run import main
from tests.app.conftest import Command, Tiny
from tests.app.test_tracking import pytestmark  # noqa: F401 - MLflow's own warnings


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


def test_a_folder_without_a_job_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "events.jsonl: expected the events of a job that started, got no such file" in capsys.readouterr().err
    (tmp_path / "events.jsonl").write_text("")
    assert main([str(tmp_path)]) == 2
    assert "got none of them" in capsys.readouterr().err
