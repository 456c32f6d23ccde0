"""``tracking``: whether a job is logged to MLflow, where to, and how long it waits for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runner.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """Where runs are kept.

    Attributes:
        name: ``mlflow``, or ``none`` for nowhere.
        uri: of a server or a database; None for ``MLFLOW_TRACKING_URI``, or a SQLite file below ``paths.output``.
        experiment: its name; None for ``MLFLOW_EXPERIMENT_ID``, ``MLFLOW_EXPERIMENT_NAME``, or ``quantization``.
        timeout: seconds that a finished job waits for MLflow at most.
        log_models: whether the models are logged models too, beside being files of the run.
    """

    name: Literal["mlflow", "none"]
    uri: str | None = None
    experiment: str | None = None
    timeout: float = 10.0
    log_models: bool = False

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ConfigError(
                f"tracking.timeout: expected more than 0 seconds, got {self.timeout}. tracking=none logs nothing."
            )
