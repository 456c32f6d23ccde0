"""How runs are looked at: commands that a shell takes, addresses that a browser takes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from runner.app.tracking.looking import entry, interface_command, sweep_comparison, where_to_look
from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import Place, place
from runner.app.tracking.process import Logged
from tests.app.tracking.conftest import STARTED, job_folder, tagged

ROOT = Path("/outputs")


def at(uri: str | None = None, environment: str | None = None) -> Place:
    given = {} if environment is None else {"MLFLOW_TRACKING_URI": environment}
    return place(ROOT, TrackingOptions("mlflow", uri), given)


def run(uri: str, number: str = "ab") -> Logged:
    return Logged(number, "7", uri)


@pytest.mark.parametrize(
    "path", ["/a/mlflow.db", "/two words/m.db", "/it's/m.db", "/数据/m.db", "/50%/m.db", "/a;b $HOME/m.db"]
)
def test_command_for_a_file_is_one_that_a_shell_takes(path: str) -> None:
    uri = f"sqlite:///{path}"
    assert shlex.split(interface_command(run(uri), at(uri))) == ["mlflow", "ui", "--backend-store-uri", uri]


def test_command_for_a_database_has_no_password() -> None:
    uri = "postgresql://me:secret@host/runs"
    assert interface_command(run(uri), at(uri)) == "mlflow ui --backend-store-uri postgresql://me@host/runs"
    # What the environment holds need not be spelled out.
    assert interface_command(run(uri), at(environment=uri)) == 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'


def test_server_has_a_page_and_no_command(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "sweep", [STARTED])
    uri = "https://me:secret@host/mlflow/"
    page = "https://host/mlflow/#/experiments/7/runs?searchFilter=tags.sweep%20%3D%20%222030-01-01_00-00-00%22"
    assert where_to_look(run(uri), at(uri), folder) == f"The sweep's runs: {page}&compareRunsMode=CHART"
    folder = job_folder(tmp_path / "job", [])
    assert where_to_look(run(uri), at(uri), folder) == "The run: https://host/mlflow/#/experiments/7/runs/ab"


def test_runs_of_a_sweep_are_compared_by_their_numbers() -> None:
    uri = "sqlite:////a/mlflow.db"
    jobs = [{"mlflow": entry(run(uri, number), at(uri))} for number in ("a", "b", "b")]
    command, charts, again, address = sweep_comparison([jobs[0], None, {}, *jobs[1:]], "a b&c").split("\n")
    assert command == f"The sweep's runs: mlflow ui --backend-store-uri {uri}"
    assert charts.startswith("  then open http://127.0.0.1:5000/#/experiments/7/runs?searchFilter=")
    assert "searchFilter=tags.sweep%20%3D%20%22a%20b%26c%22&" in charts
    assert again == "Compare runs: the same command"
    address = address.removeprefix("  then open ")
    query = parse_qs(urlsplit(address).fragment.partition("?")[2])
    assert {key: json.loads(values[0]) for key, values in query.items()} == {"runs": ["a", "b"], "experiments": ["7"]}
    server = "http://host:5000"
    charts, told = sweep_comparison([{"mlflow": entry(run(server), at(server))}], "monday").split("\n")
    assert charts.startswith("The sweep's runs: http://host:5000/#/experiments/7/runs?searchFilter=tags.sweep")
    assert told.startswith("Compare runs: http://host:5000/#/compare-runs?runs=%5B%22ab%22%5D&experiments=")


def test_sweep_that_nobody_logged_has_nothing_to_compare() -> None:
    assert sweep_comparison([None, {"loss": 1}], "monday") == ""


def test_tag_of_a_sweep_alone_makes_its_page(tmp_path: Path) -> None:
    uri = "http://host"
    folder = job_folder(tmp_path / "job", [tagged(sweep="a b&c")])
    assert "searchFilter=tags.sweep%20%3D%20%22a%20b%26c%22&" in where_to_look(run(uri), at(uri), folder)
