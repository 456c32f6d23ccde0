"""Where runs are kept."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import place, sqlite_uri
from runner.app.tracking.store import load_mlflow, open_store
from runner.errors import ConfigError
from tests.app.tracking.warnings import pytestmark  # noqa: F401

ROOT = Path("/somewhere/outputs")
SERVER = "http://host:5000"


def found(environment: dict[str, str], **options: str) -> tuple[str | None, str, str | None, bool]:
    where = place(ROOT, TrackingOptions("mlflow", **options), environment)
    return where.uri, where.experiment, where.experiment_id, where.from_environment


def test_without_a_word_it_is_a_file_below_the_root() -> None:
    assert found({}) == (None, "quantization", None, False)
    where = place(ROOT, TrackingOptions("mlflow"), {})
    assert not where.is_server and where.shown == "/somewhere/outputs/mlflow.db"


def test_environment_names_it_as_it_does_for_mlflow() -> None:
    environment = {"MLFLOW_TRACKING_URI": SERVER, "MLFLOW_EXPERIMENT_NAME": "mine"}
    assert found(environment) == (SERVER, "mine", None, True)
    assert found(environment | {"MLFLOW_EXPERIMENT_ID": "7"}) == (SERVER, "mine", "7", True)
    assert found({"MLFLOW_TRACKING_URI": "", "MLFLOW_EXPERIMENT_NAME": ""}) == (None, "quantization", None, False)


def test_options_go_before_the_environment() -> None:
    environment = {
        "MLFLOW_TRACKING_URI": "http://other",
        "MLFLOW_EXPERIMENT_NAME": "other",
        "MLFLOW_EXPERIMENT_ID": "7",
    }
    assert found(environment, uri=SERVER, experiment="mine") == (SERVER, "mine", None, False)


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        (SERVER, True),
        ("https://host/mlflow", True),
        ("databricks", True),
        ("sqlite:////a/b.db", False),
        ("postgresql://host/runs", False),
        ("postgresql+psycopg2://host/runs", False),
        ("mysql+pymysql://host/runs", False),
    ],
)
def test_server_keeps_artifacts_itself_and_a_database_does_not(uri: str, server: bool) -> None:
    assert place(ROOT, TrackingOptions("mlflow", uri), {}).is_server is server


def test_no_password_is_shown() -> None:
    where = place(ROOT, TrackingOptions("mlflow", "postgresql://me:s%40cret@host:5432/runs"), {})
    assert where.shown == "postgresql://me@host:5432/runs"


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_time_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"tracking\.timeout: expected more than 0 seconds"):
        TrackingOptions("mlflow", timeout=timeout)


@pytest.mark.parametrize(
    "name", ["plain", "two words", "50%", "50%20", "数据", "a?b", "a#b", "é", "it's", 'a"b', "a&b=c"]
)
def test_store_lies_where_the_path_says(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    load_mlflow()
    store = open_store(place(root, TrackingOptions("mlflow"), {}), nullcontext)
    assert store.uri == sqlite_uri(root / "mlflow.db")
    assert (root / "mlflow.db").is_file()
    text = tmp_path / "a.txt"
    text.write_text("a", encoding="utf-8")
    run = store.client.create_run(store.experiment_id)
    store.client.log_artifact(run.info.run_id, str(text))
    assert (root / "mlartifacts" / run.info.run_id / "artifacts" / "a.txt").is_file()
    assert sorted(path.name for path in root.iterdir()) == [".mlflow.lock", "mlartifacts", "mlflow.db"]
