"""A job's folder as a run in a real MLflow store."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.app import job as job_module
from runner.app.journal import Journal
from runner.app.options import TrackingOptions
from runner.app.tracking import store_uri, track
from runner.events import DataUsed, Event, JobFailed, JobFinished, JobStarted, ModelUsed, StageStarted, TrialFinished
from runner.job_folder import read_manifest
from tests.app.conftest import Command, Tiny
from tests.command import command, digests, environment

pytestmark = [
    # MLflow, SQLAlchemy and alembic warn of one another.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STARTED = JobStarted(
    "top1<0.2 binary net",
    {"mode": "acc_auto", "target_loss": 0.2, "observer": "ifmr", "model.name": None, "seed": 0},
    {"mode": "acc_auto"},
    {"kind": "job", "mode": "acc_auto", "version.onnx": "1.2.3", "sweep": "2030-01-01_00-00-00"},
)
FINISHED = JobFinished(
    "met",
    0,
    {"loss": 0.1, "quantized/top1": 98.9, "float/top1": 99.0, "layers/int8": 25.0},
    ("results/net_deploy_model.onnx", "summary.json"),
)
FAILED = JobFailed("ModelError", "model.path: absent.onnx does not exist", 2)
EVENTS: tuple[Event, ...] = (
    STARTED,
    StageStarted("load"),
    ModelUsed("net", "ab" * 32),
    DataUsed("photos", "evaluation", 700, "cd" * 32),
    DataUsed("more", "calibration", 100, "ef" * 32),
    TrialFinished(0, 98.0, 1.0, False, 26, ()),
    TrialFinished(1, 98.9, 0.1, True, 25, ("stem",)),
)


def job_folder(folder: Path, events: Sequence[Event]) -> Path:
    """Write a job's folder as a job leaves it."""
    journal = Journal(folder)
    for event in events:
        journal(event)
    journal.close()
    for name in ("results/net_deploy_model.onnx", "summary.json", "manifest.json", ".hydra/config.yaml", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


STARTER = """
import sys
from pathlib import Path
from runner.app.options import TrackingOptions
from runner.app.tracking import track
print("ready", flush=True)
sys.stdin.readline()
track(Path(sys.argv[1]), Path(sys.argv[2]), TrackingOptions("mlflow"))
print("mlflow" in sys.modules)
"""


@pytest.fixture(scope="session")
def two_starters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str, str]]]:
    """Two processes log to a store that does not exist, at the same time; returns its root and how each ended."""
    root = tmp_path_factory.mktemp("store") / "outputs"
    folder = job_folder(tmp_path_factory.mktemp("job"), [*EVENTS, FINISHED])
    line = [sys.executable, "-c", STARTER, str(folder), str(root)]
    started = [
        subprocess.Popen(line, env=environment(), stdin=subprocess.PIPE, stdout=-1, stderr=-1, text=True) for _ in "12"
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    ends = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        out, err = process.communicate(timeout=120)
        ends.append((process.returncode, out, err))
    return root, ends


@pytest.fixture
def root(two_starters: tuple[Path, object], tmp_path: Path) -> Path:
    """A root of output of the test's own, with a store that is made already."""
    copy = tmp_path / "outputs"
    copy.mkdir()
    shutil.copy(two_starters[0] / "mlflow.db", copy / "mlflow.db")
    return copy


# An experiment remembers where its artifacts are; the copied store needs one of its own.
OPTIONS = TrackingOptions("mlflow", experiment="own")


def client(root: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=store_uri(root, OPTIONS))


def runs(root: Path, experiment: str = "own") -> list[Any]:
    """Return the runs of an experiment, newest first."""
    found = client(root).get_experiment_by_name(experiment)
    return list(client(root).search_runs([found.experiment_id]))


def logged(root: Path, folder: Path, events: Sequence[Event]) -> Any:
    """Track a job of these events and return its run."""
    run_id = track(job_folder(folder, events), root, OPTIONS)
    (run,) = runs(root)
    assert run.info.run_id == run_id
    return run


def artifacts(root: Path, run_id: str, path: str | None = None) -> list[str]:
    """Return the paths of all files of a run."""
    found = []
    for entry in client(root).list_artifacts(run_id, path):
        found += artifacts(root, run_id, entry.path) if entry.is_dir else [entry.path]
    return sorted(found)


def test_two_processes_that_start_on_a_missing_store_both_succeed(
    two_starters: tuple[Path, list[tuple[int, str, str]]],
) -> None:
    root, ends = two_starters
    assert [(status, out) for status, out, _ in ends] == [(0, "True\n")] * 2, ends
    assert [run.info.status for run in runs(root, "quantization")] == ["FINISHED"] * 2
    assert "Error" not in ends[0][2] + ends[1][2]


def test_store_and_artifacts_are_below_the_root(two_starters: tuple[Path, object]) -> None:
    root = two_starters[0]
    assert {path.name for path in root.iterdir()} >= {"mlflow.db", "mlartifacts"}
    experiment = client(root).get_experiment_by_name("quantization")
    assert experiment.artifact_location == (root / "mlartifacts").as_uri()
    assert "press *Compare*" in experiment.tags["mlflow.note.content"]


def test_run_has_name_params_and_times_of_the_job(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", [*EVENTS, FINISHED])
    assert run.info.run_name == "top1<0.2 binary net"
    assert run.info.status == "FINISHED"
    assert run.info.start_time <= run.info.end_time
    assert run.data.params == {
        "mode": "acc_auto",
        "target_loss": "0.2",
        "observer": "ifmr",
        "model.name": "None",
        "seed": "0",
    }


def test_run_has_tags_for_model_data_versions_and_sweep(root: Path, tmp_path: Path) -> None:
    tags = logged(root, tmp_path / "job", [*EVENTS, FINISHED]).data.tags
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


def test_metrics_are_the_headline_and_a_point_a_trial(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", [*EVENTS, FINISHED])
    metrics = run.data.metrics
    assert {key: metrics[key] for key in FINISHED.metrics} == FINISHED.metrics
    trials = {key for key in metrics if key.startswith("trial/")}
    assert trials == {"trial/loss", "trial/value", "trial/int8_layers", "trial/accepted"}
    assert metrics.keys() == FINISHED.metrics.keys() | trials
    history = client(root).get_metric_history(run.info.run_id, "trial/loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.1)]
    accepted = client(root).get_metric_history(run.info.run_id, "trial/accepted")
    assert [point.value for point in accepted] == [0.0, 1.0]


def test_headline_metric_is_logged_first(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    batches: list[list[str]] = []
    plain = MlflowClient.log_batch

    def listening(self: Any, run_id: str, metrics: Sequence[Any] = (), **more: Any) -> Any:
        batches.append([metric.key for metric in metrics])
        return plain(self, run_id, metrics=metrics, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", listening)
    logged(root, tmp_path / "job", [*EVENTS, FINISHED])
    assert batches[0] == ["loss"]
    assert batches[1][:3] == ["quantized/top1", "float/top1", "layers/int8"]
    assert len(batches) == 2


def test_datasets_are_inputs_with_their_contexts(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", [*EVENTS, FINISHED])
    found = {
        entry.tags[0].value: (entry.dataset.name, entry.dataset.digest, json.loads(entry.dataset.profile)["num_rows"])
        for entry in run.inputs.dataset_inputs
    }
    assert found == {"evaluation": ("photos", "cdcdcdcd", 700), "calibration": ("more", "efefefef", 100)}


def test_artifacts_are_the_files_of_the_job_and_nothing_else_of_the_folder(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", [*EVENTS, FINISHED])
    assert artifacts(root, run.info.run_id) == sorted(
        [".hydra/config.yaml", "events.jsonl", "manifest.json", "results/net_deploy_model.onnx", "summary.json"]
    )
    stored = root / "mlartifacts" / run.info.run_id / "artifacts" / "results" / "net_deploy_model.onnx"
    assert stored.read_text(encoding="utf-8") == "results/net_deploy_model.onnx"


def test_failed_job_is_a_failed_run_that_carries_the_error(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", [STARTED, StageStarted("load"), FAILED])
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "model.path: absent.onnx does not exist"
    assert run.data.tags["error_kind"] == "ModelError"
    assert "status" not in run.data.tags
    assert run.data.metrics == {}
    assert run.data.params["target_loss"] == "0.2"


def test_files_of_an_earlier_job_are_no_artifacts_of_a_failed_one(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", [STARTED, FAILED])
    assert artifacts(root, run.info.run_id) == [".hydra/config.yaml", "events.jsonl"]


def test_job_that_was_killed_is_a_failed_run(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "job", EVENTS[:3])
    assert run.info.status == "FAILED"


def test_job_without_any_event_still_makes_a_run(root: Path, tmp_path: Path) -> None:
    run = logged(root, tmp_path / "nameless", [])
    assert (run.info.run_name, run.info.status) == ("nameless", "FAILED")


def test_values_and_lists_beyond_mlflows_limits_are_cut(root: Path, tmp_path: Path) -> None:
    params: dict[str, Any] = {f"option_{index:03}": index for index in range(130)}
    started = replace(STARTED, params={"long": "x" * 7000, **params})
    run = logged(root, tmp_path / "job", [started, replace(FAILED, message="y" * 9000)])
    assert run.data.params["long"] == "x" * 499 + "…"
    assert len(run.data.params) == 100
    assert "option_098" in run.data.params
    assert run.data.tags["error"] == "y" * 499 + "…"


def test_a_long_search_is_sent_in_batches(root: Path, tmp_path: Path) -> None:
    trials = [TrialFinished(step, 90.0, step / 7, False, 26, ()) for step in range(500)]
    run = logged(root, tmp_path / "job", [STARTED, *trials, FINISHED])
    history = client(root).get_metric_history(run.info.run_id, "trial/loss")
    assert sorted((point.step, point.value) for point in history) == [(s, pytest.approx(s / 7)) for s in range(500)]


def test_further_jobs_join_the_experiment(root: Path, tmp_path: Path) -> None:
    for name in "ab":
        track(job_folder(tmp_path / name, [STARTED, FINISHED]), root, OPTIONS)
    assert len(runs(root)) == 2


def test_mlflow_is_told_not_to_phone_home_nor_to_wait(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    logged(root, tmp_path / "job", [STARTED, FINISHED])
    assert [os.environ[name] for name in names] == ["true", "true", "1"]


def test_users_own_choice_for_mlflow_is_kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    logged(root, tmp_path / "job", [STARTED, FINISHED])
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"


def test_store_is_the_configured_server_or_a_file_below_the_root(tmp_path: Path) -> None:
    assert store_uri(tmp_path, TrackingOptions("mlflow")) == f"sqlite:///{tmp_path}/mlflow.db"
    assert store_uri(tmp_path, TrackingOptions("mlflow", uri="http://host:5000")) == "http://host:5000"


# From the command line


def tracked(tiny: Tiny, **more: object) -> list[str]:
    """Return the tiny job with MLflow."""
    return tiny.options(**({"tracking": "mlflow", "tracking__experiment": "own"} | more))


def test_job_of_the_command_line_is_one_run_with_all_its_files(tiny: Tiny, run: Command, root: Path) -> None:
    ended = run(*tracked(tiny))
    assert ended.status == 0, ended.err
    assert f"Compare runs: mlflow ui --backend-store-uri sqlite:///{root}/mlflow.db" in ended.err
    assert re.search(r"^log to MLflow: \d+\.\d s$", ended.err, re.MULTILINE)
    (one,) = runs(root)
    folder = root / "acc_auto"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert one.info.run_name == "top1<90 binary net"
    assert one.info.status == "FINISHED"
    assert float(one.data.params["target_loss"]) == 90
    assert one.data.params["observer"] == "minmax"
    assert one.data.metrics["loss"] == pytest.approx(summary["loss"])
    assert one.data.metrics["quantized/top1"] == pytest.approx(summary["quantized_metric"])
    assert one.data.metrics["layers/int8"] == 3
    assert one.data.tags["model.sha256"] == summary["model_sha256"]
    assert one.data.tags["dataset.evaluation.fingerprint"] == summary["dataset_fingerprint"]
    assert one.data.tags["version.onnxruntime"] == summary["versions"]["onnxruntime"]
    log = {"manifest.json", "events.jsonl", "amct_log/amct_onnx.log"}
    config = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    assert set(artifacts(root, one.info.run_id)) == set(read_manifest(folder)) | log | config


def test_seconds_of_tracking_are_added_and_the_manifest_stays_true(tiny: Tiny, run: Command, root: Path) -> None:
    assert run(*tracked(tiny)).status == 0
    folder = root / "acc_auto"
    seconds = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["seconds"]
    assert 0 < seconds["track"] < seconds["total"]
    manifest, found = read_manifest(folder), digests(folder)
    assert {name: found[name] for name in manifest} == manifest


def test_refused_job_of_the_command_line_is_a_failed_run(tiny: Tiny, run: Command, root: Path) -> None:
    assert run(*tiny.options()).status == 0
    before = digests(root / "acc_auto")
    assert run(*tracked(tiny, model__path="absent.onnx")).status == 2
    assert digests(root / "acc_auto") == before
    (one,) = runs(root)
    assert one.info.status == "FAILED"
    assert one.data.tags["error"].startswith("model.path: absent.onnx does not exist")


def test_jobs_of_a_sweep_are_flat_runs_that_share_a_tag(tiny: Tiny, run: Command, root: Path) -> None:
    assert run("-m", *tracked(tiny, target_loss="80,90")).status == 0
    found = runs(root)
    assert sorted(one.info.run_name for one in found) == ["top1<80 binary net", "top1<90 binary net"]
    (sweep,) = (root / "sweeps").iterdir()
    assert {one.data.tags["sweep"] for one in found} == {sweep.name}
    assert not any("mlflow.parentRunId" in one.data.tags for one in found)
    assert found[0].data.params.keys() == found[1].data.params.keys()


def test_tracker_that_fails_costs_a_warning_and_never_the_result(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("no server")

    monkeypatch.setattr(job_module, "track", fail)
    ended = run(*tracked(tiny))
    folder = tmp_path / "outputs" / "acc_auto"
    assert ended.status == 0
    assert f"warning: the run could not be logged to MLflow (no server); all results are in {folder}." in ended.err
    assert read_manifest(folder)


def test_tracking_none_does_not_import_mlflow(tiny: Tiny, tmp_path: Path) -> None:
    ended = command(*tiny.options(), cwd=tmp_path, python=["-X", "importtime"])
    assert ended.status == 0
    imported = {name.partition(".")[0] for name in re.findall(r"\| +(\S+)$", ended.err, re.MULTILINE)}
    assert "onnxruntime" in imported
    assert "mlflow" not in imported
    assert not (tmp_path / "outputs" / "mlflow.db").exists()
