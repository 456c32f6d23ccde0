"""A job's events as a run in a real MLflow store."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.app.journal import read_events
from runner.events import JobFailed, JobFinished, StageStarted, TrialFinished
from tests.app.tracking.conftest import EVENTS, FAILED, FINISHED, STARTED, RunStore, job_folder, tagged
from tests.app.tracking.warnings import pytestmark  # noqa: F401


def test_run_has_name_params_and_times_of_the_job(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [*EVENTS, FINISHED])
    assert run.info.run_name == "net top1<0.2 binary"
    assert run.info.status == "FINISHED"
    assert run.info.start_time <= run.info.end_time
    assert run.data.params == {
        "mode": "acc_auto",
        "target_loss": "0.2",
        "observer": "ifmr",
        "model.name": "None",
        "seed": "0",
    }


def test_run_has_tags_for_model_data_versions_and_sweep(store: RunStore, tmp_path: Path) -> None:
    tags = store.logged(tmp_path / "job", [*EVENTS, FINISHED]).data.tags
    assert "mlflow.parentRunId" not in tags
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    assert own == {
        "kind": "job",
        "mode": "acc_auto",
        "version.onnx": "1.2.3",
        "sweep": "2030-01-01_00-00-00",
        "status": "met",
        "model.sha256": "ab" * 32,
        "dataset.evaluation.fingerprint": "cd" * 32,
        "dataset.calibration.fingerprint": "ef" * 32,
    }


def test_metrics_are_the_headline_and_a_point_a_trial(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [*EVENTS, FINISHED])
    metrics = run.data.metrics
    assert {key: metrics[key] for key in FINISHED.metrics} == FINISHED.metrics
    trials = {key for key in metrics if key.startswith("trial/")}
    assert trials == {"trial/loss", "trial/value", "trial/int8_layers", "trial/accepted"}
    assert metrics.keys() == FINISHED.metrics.keys() | trials
    assert store.history(run, "trial/loss") == [(0, 1.0), (1, 0.1)]
    assert store.history(run, "trial/accepted") == [(0, 0.0), (1, 1.0)]


def test_headline_metric_is_logged_first(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    batches: list[list[str]] = []
    plain = MlflowClient.log_batch

    def listening(self: Any, run_id: str, metrics: Sequence[Any] = (), **more: Any) -> Any:
        batches.extend([[metric.key for metric in metrics]] if metrics else [])
        return plain(self, run_id, metrics=metrics, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", listening)
    store.logged(tmp_path / "job", [*EVENTS, FINISHED])
    assert batches[0] == ["loss"]
    assert sorted(map(len, batches)) == [1, 3, 8]


def test_datasets_are_inputs_with_their_contexts(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [*EVENTS, FINISHED])
    found = {
        entry.tags[0].value: (entry.dataset.name, entry.dataset.digest, json.loads(entry.dataset.profile)["num_rows"])
        for entry in run.inputs.dataset_inputs
    }
    assert found == {"evaluation": ("photos", "cdcdcdcd", 700), "calibration": ("more", "efefefef", 100)}


def test_artifacts_are_the_files_of_the_job_and_nothing_else_of_the_folder(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [*EVENTS, FINISHED])
    assert store.files(run.info.run_id) == sorted(
        [".hydra/config.yaml", "events.jsonl", "manifest.json", *FINISHED.files]
    )
    stored = store.root / "mlartifacts" / run.info.run_id / "artifacts" / "results" / "net_deploy_model.onnx"
    assert stored.read_text(encoding="utf-8") == "results/net_deploy_model.onnx"


def test_failed_job_is_a_failed_run_that_carries_the_error(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [STARTED, StageStarted("load"), FAILED])
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "model.path: absent.onnx does not exist"
    assert run.data.tags["error_kind"] == "ModelError"
    assert "status" not in run.data.tags
    assert run.data.metrics == {}
    assert run.data.params["target_loss"] == "0.2"


def test_files_of_an_earlier_job_are_no_artifacts_of_a_failed_one(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [STARTED, FAILED])
    assert store.files(run.info.run_id) == [".hydra/config.yaml", "events.jsonl"]


def test_job_that_was_killed_is_a_killed_run(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", EVENTS[:3])
    assert run.info.status == "KILLED"
    assert run.data.tags["mlflow.note.content"] == "The job was killed."


def test_job_without_any_event_still_makes_a_run(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "nameless", [])
    assert (run.info.run_name, run.info.status) == ("nameless", "KILLED")


def test_every_option_is_a_param_however_many_there_are(store: RunStore, tmp_path: Path) -> None:
    params: dict[str, Any] = {f"option_{index:03}": index for index in range(330)}
    run = store.logged(tmp_path / "job", [replace(STARTED, params=params), FINISHED])
    assert run.data.params == {name: str(value) for name, value in params.items()}
    assert "params_cut" not in run.data.tags


def test_what_mlflow_cannot_hold_is_cut_and_said(store: RunStore, tmp_path: Path) -> None:
    started = replace(STARTED, params={"fits": "x" * 6000, "layers": "x" * 7000})
    run = store.logged(tmp_path / "job", [started, replace(FAILED, message="y" * 9000)])
    assert run.data.params == {"fits": "x" * 6000, "layers": "x" * 5999 + "…"}
    assert run.data.tags["params_cut"] == "layers: whole in events.jsonl"
    assert run.data.tags["error"] == "y" * 499 + "…"


@pytest.mark.parametrize(
    "name", ["dataset.constants.in[0]", "数据", "a//b", "/a", "../a", "a/./b", "", "b'c\"d", "x" * 300, "a\nb", "été:1"]
)
def test_any_name_of_an_option_is_logged(store: RunStore, tmp_path: Path, name: str) -> None:
    run = store.logged(tmp_path / "job", [replace(STARTED, params={name: 7, "seed": 1}), FINISHED])
    assert sorted(run.data.params.values()) == ["1", "7"]


def test_two_options_that_mlflow_would_call_the_same_are_both_kept(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [replace(STARTED, params={"a[0": 1, "a]0": 2, "a(0": 3}), FINISHED])
    assert run.data.params == {"a_0": "1", "a_0_2": "2", "a_0_3": "3"}


def test_run_of_a_sweep_is_named_by_what_was_swept(store: RunStore, tmp_path: Path) -> None:
    varied = "target_loss=0.2, strategy=greedy"
    run = store.logged(tmp_path / "job", [tagged(varied=varied), FINISHED])
    assert run.info.run_name == run.data.tags["varied"] == varied


def test_description_tells_the_result_and_links_what_there_is_to_read(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [*EVENTS, FINISHED])
    page = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts"
    assert run.data.tags["mlflow.note.content"] == (
        "**target met**: net on photos; top1 99.0 → 98.9 (700 items).\n\n"
        f"[report]({page}/report.html) · [summary]({page}/summary.json) · "
        f"[net_deploy_model.onnx]({page}/results/net_deploy_model.onnx)"
    )


def test_description_of_a_failed_job_is_its_error(store: RunStore, tmp_path: Path) -> None:
    run = store.logged(tmp_path / "job", [STARTED, FAILED])
    assert run.data.tags["mlflow.note.content"] == "**ModelError**: model.path: absent.onnx does not exist"


@pytest.mark.parametrize(
    "end", [JobFailed("KeyboardInterrupt", "interrupted", 130), replace(FINISHED, status="interrupted")]
)
def test_interrupted_job_is_a_killed_run(store: RunStore, tmp_path: Path, end: JobFailed | JobFinished) -> None:
    assert store.logged(tmp_path / "job", [*EVENTS, end]).info.status == "KILLED"


def test_a_long_search_is_sent_in_batches(store: RunStore, tmp_path: Path) -> None:
    trials = [TrialFinished(step, 90.0, step / 7, False, 26, ()) for step in range(500)]
    run = store.logged(tmp_path / "job", [STARTED, *trials, FINISHED])
    assert store.history(run, "trial/loss") == [(step, pytest.approx(step / 7)) for step in range(500)]


def test_further_jobs_join_the_experiment(store: RunStore, tmp_path: Path) -> None:
    for name in "ab":
        store.track(job_folder(tmp_path / name, [tagged(job=name), FINISHED]))
    assert len(store.runs()) == 2


def test_experiment_tells_how_to_read_it_and_has_its_artifacts_below_the_root(store: RunStore, tmp_path: Path) -> None:
    store.logged(tmp_path / "job", [STARTED, FINISHED])
    experiment = store.client.get_experiment_by_name("own")
    assert experiment.artifact_location == (store.root / "mlartifacts").as_uri()
    assert "press *Compare*" in experiment.tags["mlflow.note.content"]


# While the job goes on


def test_run_is_there_and_running_before_the_job_has_a_result(store: RunStore, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", EVENTS)
    events = list(read_events(folder))
    following = store.open(folder)
    following.follow(events[:1])
    (run,) = store.runs()
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("net top1<0.2 binary", "RUNNING", {})
    assert run.data.params["target_loss"] == "0.2"
    following.follow(events[:6])
    (run,) = store.runs()
    assert run.info.status == "RUNNING" and run.data.metrics["trial/loss"] == 1.0
    assert run.data.tags["model.sha256"] == "ab" * 32
    assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"photos", "more"}
    following.follow(events)
    (run,) = store.runs()
    assert store.history(run, "trial/loss") == [(0, 1.0), (1, 0.1)]
    assert math.isnan(run.data.metrics["loss"])  # it has none yet


def test_run_that_was_followed_ends_as_one_that_is_logged_at_once(store: RunStore, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", [*EVENTS, FINISHED])
    events = list(read_events(folder))
    following = store.open(folder)
    for count in range(1, len(events)):
        following.follow(events[:count])
    following.finish(events)
    store.track(folder)  # it bears no number, so this is another run
    one, other = store.runs()
    assert one.data.metrics == other.data.metrics and one.data.params == other.data.params
    assert {key: store.history(one, key) for key in one.data.metrics} != {}
    assert store.history(one, "trial/loss") == store.history(other, "trial/loss")
    assert store.files(one.info.run_id) == store.files(other.info.run_id)


def test_call_that_fails_is_made_up_for_by_the_next(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    folder = job_folder(tmp_path / "job", [tagged(job="1"), *EVENTS[1:], FINISHED])
    events = list(read_events(folder))
    for name in ("create_run", "log_batch", "log_inputs", "log_artifact", "set_terminated"):
        plain, failed = getattr(MlflowClient, name), []

        def once(*args: Any, plain: Any = plain, failed: list[int] = failed, **more: Any) -> Any:
            # The server did what it was asked, and died before it said so.
            done = plain(*args, **more)
            if not failed:
                failed.append(1)
                raise OSError("gone")
            return done

        monkeypatch.setattr(MlflowClient, name, once)
    following = store.open(folder)
    for _ in range(6):
        with contextlib.suppress(OSError):
            following.finish(events)
    (run,) = store.runs()
    assert run.info.status == "FINISHED" and run.data.metrics["loss"] == 0.1
    assert store.history(run, "trial/loss") == [(0, 1.0), (1, 0.1)]


# Again


def test_logging_again_brings_the_run_up_to_date(store: RunStore, tmp_path: Path) -> None:
    start = tagged(job="1")
    folder = job_folder(tmp_path / "job", [start, *EVENTS[1:6]])
    first = store.track(folder)
    assert [run.info.status for run in store.runs()] == ["KILLED"]
    job_folder(folder, [start, *EVENTS[1:], FINISHED])
    assert store.track(folder) == first
    (run,) = store.runs()
    assert (run.info.status, run.data.metrics["loss"], run.data.tags["status"]) == ("FINISHED", 0.1, "met")
    assert "report.html" in store.files(first)


def test_logging_the_same_again_changes_nothing(store: RunStore, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", [tagged(job="1"), *EVENTS[1:], FINISHED])
    store.track(folder)
    (before,) = store.runs()
    points = {key: store.history(before, key) for key in before.data.metrics}
    store.track(folder)
    (after,) = store.runs()
    assert after.data.to_dictionary() == before.data.to_dictionary()
    assert {key: store.history(after, key) for key in after.data.metrics} == points
    assert after.info.end_time == before.info.end_time
    assert store.files(after.info.run_id) == store.files(before.info.run_id)
    assert len(after.inputs.dataset_inputs) == 2


def test_file_that_the_job_no_longer_has_is_taken_from_its_run(store: RunStore, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", [tagged(job="1"), FINISHED])
    run_id = store.track(folder)
    assert "results/net_deploy_model.onnx" in store.files(run_id)
    (folder / "results" / "net_deploy_model.onnx").unlink()
    (folder / "summary.json").write_text("other", encoding="utf-8")
    store.track(folder)
    assert "results/net_deploy_model.onnx" not in store.files(run_id)
    stored = store.root / "mlartifacts" / run_id / "artifacts" / "summary.json"
    assert stored.read_text(encoding="utf-8") == "other"


def test_next_job_in_a_folder_closes_the_run_that_a_killed_one_left_open(store: RunStore, tmp_path: Path) -> None:
    here, there = "host:/outputs/acc_auto", "host:/outputs/convert_qat"
    for job, folder in (("1", here), ("2", there)):
        following = store.open(job_folder(tmp_path / job, [tagged(job=job, folder=folder)]))
        following.follow(list(read_events(tmp_path / job)))
    assert {run.info.status for run in store.runs()} == {"RUNNING"}
    store.track(job_folder(tmp_path / "3", [tagged(job="3", folder=here), FINISHED]))
    found = {run.data.tags["job"]: run.info.status for run in store.runs()}
    assert found == {"1": "KILLED", "2": "RUNNING", "3": "FINISHED"}
