"""Runs in PostgreSQL, in a cluster of the test's own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.conftest import Tiny
from tests.app.tracking.warnings import pytestmark as quiet
from tests.command import command

pytestmark = [*quiet, pytest.mark.slow]


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an empty database meanwhile; gives its address."""
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not installed: pip install '.[postgres]'")
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on the PATH")
    folder = tmp_path_factory.mktemp("postgres")
    user: list[str] = []
    if os.getuid() == 0:  # which PostgreSQL refuses to be
        user = ["su", "nobody", "-s", "/bin/sh", "-c"]
        for path in (folder, *folder.parents[:3]):  # of xdist there is one more
            path.chmod(0o755)
        shutil.chown(folder, "nobody")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def ask(line: str) -> None:
        given = [*user, line] if user else ["/bin/sh", "-c", line]
        subprocess.run(given, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)

    try:
        ask(f"initdb -D {folder}/data -A trust -U me")
        ask(f"pg_ctl -D {folder}/data -w -l {folder}/log -o '-p {port} -k {folder}' start")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"PostgreSQL does not start here: {error}")
    try:
        yield f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/postgres"
    finally:
        ask(f"pg_ctl -D {folder}/data -m immediate stop")


def test_job_is_a_run_in_postgres_with_its_files_below_the_root(tiny: Tiny, database: str, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    ended = command(*tiny.options(tracking="mlflow", tracking__uri=database, tracking__timeout=60), cwd=tmp_path)
    assert ended.status == 0
    assert f"mlflow ui --backend-store-uri {database.replace(':secret', '')}\n" in ended.err
    assert "secret" not in ended.err
    client = MlflowClient(tracking_uri=database)
    (run,) = client.search_runs([client.get_experiment_by_name("quantization").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["quantized/top1"] == 100
    stored = tmp_path / "outputs" / "mlartifacts" / run.info.run_id / "artifacts"
    assert (stored / "report.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]
