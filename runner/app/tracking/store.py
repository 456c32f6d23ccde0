"""A store of runs, opened.

Databases are opened under a lock: processes that open a new one at the same time break its migration.
"""

from __future__ import annotations

import glob
import logging
import os
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from runner.app.tracking.place import Place, sqlite_uri

LOCK = ".mlflow.lock"
_CONNECT_SECONDS = 5
_NOTE = (
    "Each run is one quantization job. **loss** is what the int8 model loses against the float model, in the metric's unit; "
    "**layers/int8** is how many layers are int8. `trial/…` are curves over the plans that the search tried (step 0: every "
    "layer int8). Select runs and press *Compare* to see them side by side; the jobs of a sweep share the tag `sweep`."
)


@dataclass(frozen=True, slots=True)
class Store:
    """An open store.

    Attributes:
        client: MLflow's.
        uri: the tracking URI.
        experiment_id: of the experiment that runs go to.
    """

    client: Any
    uri: str
    experiment_id: str


def load_mlflow() -> None:
    """Import MLflow, told not to phone home."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # Imported here: MLflow takes seconds to load, and --help or tracking=none must not pay for it.
    import mlflow.tracking  # noqa: F401

    # After the import, which sets levels of its own: making the store would tell of each table.
    for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def limit_requests(seconds: float) -> None:
    """Have MLflow give up on a server that is silent for so many seconds, not minutes; a limit of the user's own stays."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(seconds))))


def open_store(place: Place, making: Callable[[], AbstractContextManager[None]]) -> Store:
    """Open where runs are kept, and make it and the experiment if need be.

    Args:
        place: what to open.
        making: entered while a new SQLite file is made, which takes seconds of this machine's own.
    """
    from mlflow.tracking import MlflowClient

    uri = place.uri or sqlite_uri(place.root / "mlflow.db")
    if place.is_server:
        client = MlflowClient(tracking_uri=uri)
        return Store(client, uri, _experiment(client, place))
    place.root.mkdir(parents=True, exist_ok=True)
    with FileLock(place.root / LOCK):
        file = _missing_file(uri)
        if file is not None:
            with making():
                _make(file)
        _require_connection(uri)
        client = MlflowClient(tracking_uri=uri)
        return Store(client, uri, _experiment(client, place))


def _experiment(client: Any, place: Place) -> str:  # noqa: ANN401 - MLflow is untyped
    if place.experiment_id is not None:
        return place.experiment_id
    found = client.get_experiment_by_name(place.experiment)
    if found is None:
        # A database without a server would put them into the directory of the command.
        location = None if place.is_server else (place.root / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(place.experiment, location, {"mlflow.note.content": _NOTE}))
        except Exception:
            # Another machine's job may have made it in between.
            found = client.get_experiment_by_name(place.experiment)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ValueError(f"the experiment {place.experiment} is deleted; restore it, or set tracking.experiment")
    return str(found.experiment_id)


def _require_connection(uri: str) -> None:
    """Raise what a database says where it does not take a connection: MLflow would ask it again and again for a minute."""
    from sqlalchemy import create_engine

    wait = {"connect_timeout": _CONNECT_SECONDS} if uri.startswith("postgresql") else {}
    engine = create_engine(uri, connect_args=wait)
    try:
        with engine.connect():
            pass
    finally:
        engine.dispose()


def _missing_file(uri: str) -> Path | None:
    """Return the path of a SQLite file where there is nothing yet."""
    if not uri.startswith("sqlite:"):
        return None
    from sqlalchemy.engine import make_url

    path = Path(make_url(uri).database or "").absolute()
    return None if os.path.lexists(path) else path


def _make(path: Path) -> None:
    """Make a SQLite store, whole or not at all: one that is killed half way would be migrated from where it never was.

    The disk is waited for once, not at each of a hundred steps, which is most of the time it takes.
    """
    from mlflow.tracking import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.part*"):
        abandoned.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass  # what cannot be written there says so now, and not after MLflow's tries
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # MLflow remembers what it opened by the name
    event.listen(Engine, "connect", _wait_for_no_disk)
    try:
        MlflowClient(tracking_uri=sqlite_uri(aside)).search_experiments(max_results=1)
        with aside.open("rb+") as stream:
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        event.remove(Engine, "connect", _wait_for_no_disk)
        aside.unlink(missing_ok=True)


def _wait_for_no_disk(connection: Any, record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's signature
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=MEMORY")
