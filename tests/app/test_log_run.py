"""A job's folder logged to MLflow after the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.app.log_run import main
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
