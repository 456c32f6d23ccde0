"""The variables of the command's process that go along with its jobs: Ray's workers have their node's environment."""

from __future__ import annotations

import os

# What a tracking server, its artifacts and downloads are reached with.
_CARRIED = (
    "MLFLOW_",
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "DATABRICKS_",
    "DO_NOT_TRACK",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


def carried_environment() -> dict[str, str]:
    """Return the variables that a job needs wherever it runs."""
    return {name: value for name, value in os.environ.items() if name.upper().startswith(_CARRIED)}
