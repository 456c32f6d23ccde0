"""A store that is made once, and what is in it as MLflow itself reads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from runner.app.journal import Journal, read_events
from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import place
from runner.app.tracking.process import end_kept
from runner.app.tracking.run import Run
from runner.app.tracking.store import load_mlflow, open_store
from runner.events import DataUsed, Event, JobFailed, JobFinished, JobStarted, ModelUsed, StageStarted, TrialFinished

STARTED = JobStarted(
    "net top1<0.2 binary",
    {"mode": "acc_auto", "target_loss": 0.2, "observer": "ifmr", "model.name": None, "seed": 0},
    {"mode": "acc_auto"},
    {"kind": "job", "mode": "acc_auto", "version.onnx": "1.2.3", "sweep": "2030-01-01_00-00-00"},
)
FINISHED = JobFinished(
    "met",
    0,
    {"loss": 0.1, "quantized/top1": 98.9, "float/top1": 99.0, "layers/int8": 25.0},
    ("results/net_deploy_model.onnx", "report.html", "summary.json"),
    "**target met**: net on photos; top1 99.0 → 98.9 (700 items).",
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
# An experiment remembers where its artifacts are; the copied store needs one of its own.
OPTIONS = TrackingOptions("mlflow", experiment="own")


def tagged(**tags: str) -> JobStarted:
    """Return a job's start with more tags."""
    return replace(STARTED, tags={**STARTED.tags, **tags})


def job_folder(folder: Path, events: Sequence[Event]) -> Path:
    """Write a job's folder as a job leaves it."""
    journal = Journal(folder)
    for event in events:
        journal(event)
    journal.close()
    files = (
        "results/net_deploy_model.onnx",
        "report.html",
        "summary.json",
        "manifest.json",
        ".hydra/config.yaml",
        "notes.txt",
    )
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class RunStore:
    """A root of output with a store, read by MLflow's own client."""

    root: Path

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=f"sqlite:///{self.root / 'mlflow.db'}")

    def open(self, folder: Path) -> Run:
        """Return the run of a folder's job, ready to be told of events."""
        load_mlflow()
        return Run(open_store(place(self.root, OPTIONS, {}), nullcontext), folder)

    def track(self, folder: Path) -> str:
        """Log a folder as a whole."""
        return self.open(folder).finish(list(read_events(folder)))

    def logged(self, folder: Path, events: Sequence[Event]) -> Any:
        """Log a job of these events and return its run, the only one."""
        run_id = self.track(job_folder(folder, events))
        (run,) = self.runs()
        assert run.info.run_id == run_id
        return run

    def runs(self, experiment: str = "own") -> list[Any]:
        """Return the runs of an experiment, newest first."""
        found = self.client.get_experiment_by_name(experiment)
        return [] if found is None else list(self.client.search_runs([found.experiment_id]))

    def files(self, run_id: str, path: str | None = None) -> list[str]:
        """Return the paths of all files of a run."""
        found = []
        for entry in self.client.list_artifacts(run_id, path):
            found += self.files(run_id, entry.path) if entry.is_dir else [entry.path]
        return sorted(found)

    def history(self, run: Any, name: str) -> list[tuple[int, float]]:
        """Return all values of a run's number with their steps."""
        return sorted((point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, name))


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """A store that the product made, before any run is in it."""
    root = tmp_path_factory.mktemp("store") / "outputs"
    load_mlflow()
    open_store(place(root, TrackingOptions("mlflow"), {}), nullcontext)
    return RunStore(root)


@pytest.fixture
def store(new_store: RunStore, tmp_path: Path) -> RunStore:
    """A root of output of the test's own, with a store that is made already, where the command line looks for it."""
    copy = tmp_path / "outputs"
    copy.mkdir()
    shutil.copy(new_store.root / "mlflow.db", copy / "mlflow.db")
    return RunStore(copy)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Nothing of the tester's MLflow, and no process of an earlier test that knows another store."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield end_kept
    end_kept()
