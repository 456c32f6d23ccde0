"""Whether the place of runs can be reached, asked without MLflow: a port that answers, a file that can be written."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runner.app.tracking.place import Place
from runner.space import nearest_folder

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "https": 443, "http": 80}
# Of this machine, which answers or refuses at once.
_HERE = ("localhost", "127.0.0.1", "::1")
_SECONDS, _SECONDS_HERE = 3.0, 0.2


def not_reached(where: Place, *, only_here: bool = False) -> str | None:
    """Return why runs will not get to their place, with the option to change; None where nothing speaks against it.

    Args:
        where: the place.
        only_here: whether to ask on this machine alone, where an answer takes no time.
    """
    key = "MLFLOW_TRACKING_URI" if where.from_environment else "tracking.uri"
    parts = urlsplit(where.uri or "sqlite:")
    scheme = parts.scheme.partition("+")[0]
    if scheme in ("sqlite", "file", ""):
        return _of_file(file_of(where), "paths.output" if where.uri is None else key)
    if scheme not in _PORTS or parts.hostname is None or (only_here and parts.hostname not in _HERE):
        return None
    try:
        seconds = _SECONDS_HERE if only_here else _SECONDS
        socket.create_connection((parts.hostname, parts.port or _PORTS[scheme]), timeout=seconds).close()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        return (
            f"{key}: nothing answers at {where.shown} ({said}), so the run would not be in MLflow. Start the server, or set "
            "tracking=none; results do not depend on it, and a run can be logged later."
        )
    return None


def file_of(where: Place) -> Path:
    """Return the file, or folder, of a place that no server keeps."""
    if where.uri is None:
        return where.root / "mlflow.db"
    path = unquote(urlsplit(where.uri).path)
    return Path(path.removeprefix("/") if where.uri.startswith("sqlite:") else path or where.uri).absolute()


def _of_file(path: Path, key: str) -> str | None:
    existing = path if path.exists() else nearest_folder(path.parent)
    fits = existing == path or existing.is_dir()
    if fits and os.access(existing, os.W_OK):
        return None
    return f"{key}: {existing} cannot be written, so the run would not be in MLflow. Set {key}, or tracking=none."
