"""Where runs are kept: what the command says, else what MLflow's environment variables say, else a file below the root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from runner.app.tracking.options import TrackingOptions
from runner.credentials import DATABASES, without_credentials

EXPERIMENT = "quantization"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job's run is kept.

    Attributes:
        root: of all output; a store that is no server's has its artifacts there.
        uri: MLflow's tracking URI; None for the SQLite file below the root.
        experiment: its name, where it has no number.
        experiment_id: its number, where the environment gives one.
        from_environment: whether ``MLFLOW_TRACKING_URI`` named the URI.
    """

    root: Path
    uri: str | None
    experiment: str
    experiment_id: str | None = None
    from_environment: bool = False

    @property
    def is_server(self) -> bool:
        """Whether somebody else keeps the runs, and their artifacts."""
        return self.uri is not None and urlsplit(self.uri).scheme.partition("+")[0] not in DATABASES

    @property
    def shown(self) -> str:
        """The place in a sentence, without a password."""
        return str(self.root / "mlflow.db") if self.uri is None else without_credentials(self.uri)


def place(root: Path, options: TrackingOptions, environment: Mapping[str, str]) -> Place:
    """Return where a job's run goes.

    Args:
        root: of all output, absolute.
        options: of the job; what they name goes before the environment.
        environment: of the process.
    """
    given = options.uri or environment.get("MLFLOW_TRACKING_URI") or None
    name, number = options.experiment, None
    if name is None:
        number = environment.get("MLFLOW_EXPERIMENT_ID") or None
        name = environment.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    return Place(root, given, name, number, from_environment=options.uri is None and given is not None)


def sqlite_uri(path: Path) -> str:
    """Return the URI of a SQLite file that SQLAlchemy reads as this path.

    It takes a path as it stands but for what means something in a URI, and decodes that from version 2.1 on only.

    Raises:
        ValueError: no URI says this path.
    """
    from sqlalchemy.engine import make_url

    for written in (str(path), quote(str(path), safe="/ ")):
        uri = f"sqlite:///{written}"
        if make_url(uri).database == str(path):
            return uri
    raise ValueError(f"no URI names {path} to SQLAlchemy; leave ? and % out of paths.output, or set tracking.uri")
