"""A job's events as one MLflow run. MLflow is a reader: everything is on disk before it is asked.

The SQLite store is made once, under a lock: processes that open a missing store at the same time break its migration.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from runner.app.journal import NAME, read_events
from runner.app.options import TrackingOptions
from runner.job_folder import MANIFEST

_LOCK_SECONDS = 300
_LONGEST_PARAM = 500
_METRICS_A_BATCH = 900
_NOTE = (
    "Each run is one quantization job. **loss** is what the int8 model loses against the float model, in the metric's unit; "
    "**layers/int8** is how many layers are int8. `trial/…` are curves over the plans that the search tried (step 0: every "
    "layer int8). Select runs and press *Compare* to see them side by side."
)


def track(folder: Path, root: Path, options: TrackingOptions) -> str:
    """Log a finished (or failed) job's folder as one run and return the run's id.

    Args:
        folder: of the job; its ``events.jsonl`` is read, its files become artifacts.
        root: of all output; the store and the artifacts are kept there unless a server is named.
        options: where runs are kept.
    """
    client, experiment = _store(root, options)
    events = list(read_events(folder))
    started = next((event for event in events if event["event"] == "JobStarted"), {})
    run = client.create_run(
        experiment,
        start_time=_milliseconds(events[0]["time"]) if events else None,
        run_name=_short(started.get("label", folder.name)),
    )
    run_id = str(run.info.run_id)
    _log(client, run_id, events, started)
    for path in _artifacts(folder, events):
        relative = path.parent.relative_to(folder).as_posix()
        client.log_artifact(run_id, str(path), None if relative == "." else relative)
    failed = not any(event["event"] == "JobFinished" for event in events)
    end = _milliseconds(events[-1]["time"]) if events else None
    client.set_terminated(run_id, "FAILED" if failed else "FINISHED", end_time=end)
    return run_id


def store_uri(root: Path, options: TrackingOptions) -> str:
    """Return the tracking URI: the configured one, or the SQLite store below the root."""
    return options.uri or f"sqlite:///{root / 'mlflow.db'}"


def _store(root: Path, options: TrackingOptions) -> tuple[Any, str]:
    """Return a client and the experiment's id, made if need be."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # A server that does not answer shall cost seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".mlflow.lock", timeout=_LOCK_SECONDS):
        # Imported here: MLflow takes seconds to load, and --help or tracking=none must not pay for it.
        from mlflow.tracking import MlflowClient

        # After the import, which sets levels of its own: making the store would tell of each table.
        for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=store_uri(root, options))
        experiment = client.get_experiment_by_name(options.experiment)
        if experiment is not None:
            return client, str(experiment.experiment_id)
        location = None if options.uri else (root / "mlartifacts").as_uri()
        tags = {"mlflow.note.content": _NOTE}
        return client, str(client.create_experiment(options.experiment, artifact_location=location, tags=tags))


def _log(client: Any, run_id: str, events: list[Mapping[str, Any]], started: Mapping[str, Any]) -> None:  # noqa: ANN401
    from mlflow.entities import Param, RunTag

    params = [Param(key, _short(value)) for key, value in started.get("params", {}).items()]
    tags = [RunTag(key, _short(value)) for key, value in started.get("tags", {}).items()]
    tags += [RunTag("model.sha256", event["sha256"]) for event in events if event["event"] == "ModelUsed"]
    for event in events:
        if event["event"] == "DataUsed":
            tags.append(RunTag(f"dataset.{event['context']}.fingerprint", event["fingerprint"]))
    failure = next((event for event in events if event["event"] == "JobFailed"), None)
    if failure is not None:
        tags += [RunTag("error", _short(failure["message"])), RunTag("error_kind", failure["kind"])]
    finished = next((event for event in events if event["event"] == "JobFinished"), None)
    if finished is not None:
        tags.append(RunTag("status", finished["status"]))
    metrics = list(_metrics(events, finished))
    # The headline comes first and alone: MLflow's compare page opens on the metric that was logged first.
    client.log_batch(run_id, metrics=metrics[:1], params=params[:100], tags=tags)
    for start in range(1, len(metrics), _METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_A_BATCH])
    _log_inputs(client, run_id, events)


def _metrics(events: list[Mapping[str, Any]], finished: Mapping[str, Any] | None) -> Iterator[Any]:
    from mlflow.entities import Metric

    if finished is not None:
        for name, value in finished["metrics"].items():
            yield Metric(name, float(value), _milliseconds(finished["time"]), 0)
    for event in events:
        if event["event"] != "TrialFinished":
            continue
        time, step = _milliseconds(event["time"]), int(event["step"])
        for key in ("loss", "value", "int8_layers", "accepted"):
            yield Metric(f"trial/{key}", float(event[key]), time, step)


def _log_inputs(client: Any, run_id: str, events: list[Mapping[str, Any]]) -> None:  # noqa: ANN401
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for event in events:
        if event["event"] == "DataUsed":
            profile = json.dumps({"num_rows": event["items"]})
            dataset = Dataset(
                name=event["name"],
                digest=event["fingerprint"][:8],
                source_type="local",
                source=event["name"],
                profile=profile,
            )
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", event["context"])]))
    if inputs:
        client.log_inputs(run_id, inputs)


def _artifacts(folder: Path, events: list[Mapping[str, Any]]) -> list[Path]:
    finished = next((event for event in events if event["event"] == "JobFinished"), None)
    # Without a result the folder may hold an earlier job's, which is not this run's.
    names = ["amct_log/amct_onnx.log", NAME] + ([*finished["files"], MANIFEST] if finished else [])
    paths = [folder / name for name in dict.fromkeys(names)]
    config = sorted((folder / ".hydra").glob("*.yaml"))
    return [path for path in paths if path.is_file()] + config


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _short(value: Any) -> str:  # noqa: ANN401
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8")  # a path may hold bytes that are no UTF-8
    return text if len(text) <= _LONGEST_PARAM else text[: _LONGEST_PARAM - 1] + "…"
