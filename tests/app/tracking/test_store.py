"""A store made and opened by several at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import place
from runner.app.tracking.store import limit_requests, load_mlflow, open_store
from tests.app.tracking.conftest import EVENTS, FINISHED, RunStore, job_folder
from tests.app.tracking.warnings import pytestmark  # noqa: F401
from tests.command import environment

STARTER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from runner.app.journal import read_events
from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import place
from runner.app.tracking.run import Run
from runner.app.tracking.store import load_mlflow, open_store
load_mlflow()
print("ready", flush=True)
sys.stdin.readline()
folder = Path(sys.argv[1])
store = open_store(place(Path(sys.argv[2]), TrackingOptions("mlflow"), {}), nullcontext)
Run(store, folder).finish(list(read_events(folder)))
print("logged")
"""


def test_processes_that_start_on_a_missing_store_all_succeed(tmp_path: Path) -> None:
    root, folder = tmp_path / "outputs", job_folder(tmp_path / "job", [*EVENTS, FINISHED])
    line = [sys.executable, "-c", STARTER, str(folder), str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(line, env=environment(), text=True, **pipes) for _ in "123"]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [(out, status) for out, _, status in ends] == [("logged\n", 0)] * 3, ends
    assert [run.info.status for run in RunStore(root).runs("quantization")] == ["FINISHED"] * 3
    assert "Error" not in "".join(err for _, err, _ in ends)


def test_store_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed half way leaves a file that nobody takes for a store, and the next removes."""
    from mlflow.tracking import MlflowClient

    left = tmp_path / ".mlflow.db.12345.part"
    left.write_bytes(b"half of it")
    load_mlflow()
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "search_experiments", lambda *args, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_store(place(tmp_path, TrackingOptions("mlflow"), {}), nullcontext)
    assert [path.name for path in tmp_path.iterdir()] == [".mlflow.lock"]
    open_store(place(tmp_path, TrackingOptions("mlflow"), {}), nullcontext)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mlflow.lock", "mlflow.db"]


def test_deleted_experiment_is_named(store: RunStore) -> None:
    where = place(store.root, TrackingOptions("mlflow", experiment="old"), {})
    opened = open_store(where, nullcontext)
    opened.client.delete_experiment(opened.experiment_id)
    with pytest.raises(ValueError, match=r"the experiment old is deleted; restore it, or set tracking\.experiment"):
        open_store(where, nullcontext)


def test_experiment_by_its_number(store: RunStore) -> None:
    number = store.client.create_experiment("by number")
    where = place(store.root, TrackingOptions("mlflow"), {"MLFLOW_EXPERIMENT_ID": number})
    assert open_store(where, nullcontext).experiment_id == number


def test_mlflow_is_told_not_to_phone_home_nor_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    names = (
        "MLFLOW_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
    )
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    load_mlflow()
    limit_requests(7)
    assert [os.environ[name] for name in names] == ["true", "true", "1", "7"]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    limit_requests(7)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


def test_nothing_that_is_there_already_is_replaced_by_a_store(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").symlink_to(tmp_path / "elsewhere.db")
    load_mlflow()
    open_store(place(tmp_path, TrackingOptions("mlflow"), {}), nullcontext)
    assert (tmp_path / "mlflow.db").is_symlink() and (tmp_path / "elsewhere.db").is_file()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:////proc/x.db", "No such file or directory"),
        ("sqlite:///{root}/folder", "unable to open database file"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/runs", "Connection refused"),
    ],
)
def test_database_that_takes_no_connection_is_asked_once(
    uri: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.tracking

    if "psycopg2" in uri:
        pytest.importorskip("psycopg2")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(mlflow.tracking, "MlflowClient", lambda **_: pytest.fail("MLflow asks for a minute"))
    options = TrackingOptions("mlflow", uri=uri.format(root=tmp_path))
    with pytest.raises(Exception, match=reason):
        open_store(place(tmp_path / "outputs", options, {}), nullcontext)
