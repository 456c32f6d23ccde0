"""One job's run in a store: made once, then brought up to what the job's events say, as often as there are more of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.app.journal import NAME
from runner.app.tracking import entries
from runner.app.tracking.entries import Event, Point
from runner.app.tracking.models import log_models
from runner.app.tracking.store import Store
from runner.inside import own_file

# ``job_folder.MANIFEST``, whose module would load what MLflow has no need of.
_MANIFEST = "manifest.json"
_METRICS_A_BATCH, _PARAMS_A_BATCH, _TAGS_A_BATCH = 900, 100, 100
_HEADLINE = "loss"


class Run:
    """A job's run.

    A call that failed may be made again: what the store has already stays as it is, and the job's own run is found by its id.
    """

    def __init__(self, store: Store, folder: Path, answered: Callable[[], None] = lambda: None) -> None:
        self.run_id: str | None = None
        self.experiment_id, self.uri = store.experiment_id, store.uri
        self._store, self._client = store, store.client
        self._folder = folder
        self._answered = answered
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._points = 0
        self._inputs = 0
        self._artifacts = ""
        self._found = False

    def follow(self, events: Sequence[Event]) -> None:
        """Log what there is to know of a job that goes on."""
        if self.run_id is None:
            self._begin(events)
        self._send_options(events)
        self._send_inputs(events)
        self._send_trials(events)

    def finish(self, events: Sequence[Event], *, models: bool = False) -> str:
        """Log the rest of a job that has ended, and close its run.

        Args:
            events: all of the job.
            models: whether its models are to be logged models too.

        Returns:
            The run's id.
        """
        if self.run_id is None:
            self._begin(events)
        assert self.run_id is not None
        # The headline comes first and alone: MLflow's compare page opens on the metric that was logged first.
        results = entries.result_points(events)
        self._send_points(results[:1])
        self.follow(events)
        self._send_points(results[1:])
        self._set_tags(entries.end_tags(events) | {"mlflow.note.content": entries.description(events, self._page())})
        self._send_files(events)
        finished = entries.first(events, "JobFinished")
        if models and finished is not None:
            log_models(self._store, self.run_id, self._folder, finished, self._answered)
        end = entries.milliseconds(events[-1]["time"]) if events else None
        self._client.set_terminated(self.run_id, entries.status(events), end_time=end)
        self._answered()
        return self.run_id

    def _begin(self, events: Sequence[Event]) -> None:
        """Find the job's run, or make it; a run that an earlier job in the folder left open is closed."""
        job = entries.job_id(events)
        if job is not None:
            found = self._client.search_runs([self._store.experiment_id], f"tags.job = '{job}'", max_results=1)
            self._answered()
            if found:
                self._found = True
                self._take(found[0])
                return
            self._close_abandoned(entries.tags(events).get("folder"))
        run = self._client.create_run(
            self._store.experiment_id,
            start_time=entries.milliseconds(events[0]["time"]) if events else None,
            tags=entries.tags(events),
            run_name=entries.run_name(events, self._folder.name),
        )
        self._tags = entries.tags(events)
        self._answered()
        self._take(run)

    def _take(self, run: Any) -> None:  # noqa: ANN401 - MLflow is untyped
        self.run_id, self._artifacts = str(run.info.run_id), str(run.info.artifact_uri)
        self._params = dict(run.data.params)

    def _close_abandoned(self, folder: str | None) -> None:
        """Close runs that a killed job left open: one job at a time writes into a folder, so theirs have ended."""
        if folder is None:
            return
        for run in self._client.search_runs([self._store.experiment_id], "attributes.status = 'RUNNING'"):
            if run.data.tags.get("folder") == folder:
                self._client.set_terminated(run.info.run_id, entries.KILLED)
        self._answered()

    def _send_options(self, events: Sequence[Event]) -> None:
        from mlflow.entities import Param

        params, _ = entries.params(events)
        new = [(key, value) for key, value in params.items() if key not in self._params]
        for batch in _batches(new, _PARAMS_A_BATCH):
            self._client.log_batch(self.run_id, params=[Param(key, value) for key, value in batch])
            self._params |= dict(batch)
            self._answered()
        self._set_tags(entries.tags(events))

    def _set_tags(self, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        new = [(key, value) for key, value in tags.items() if self._tags.get(key) != value]
        for batch in _batches(new, _TAGS_A_BATCH):
            self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in batch])
            self._tags |= dict(batch)
            self._answered()

    def _send_inputs(self, events: Sequence[Event]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        used = [event for event in events if event["event"] == "DataUsed"]
        inputs = []
        for event in used[self._inputs :]:
            dataset = Dataset(
                name=event["name"],
                digest=event["fingerprint"][:8],
                source_type="local",
                source=event["name"],
                profile=json.dumps({"num_rows": event["items"]}),
            )
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", event["context"])]))
        if inputs:
            self._client.log_inputs(self.run_id, inputs)
            self._inputs = len(used)
            self._answered()

    def _send_trials(self, events: Sequence[Event]) -> None:
        points = list(entries.trial_points(events))
        if points and not self._points and entries.first(events, "JobFinished") is None:
            # Its place at the head of MLflow's list, before the curves take it; the result puts a number there.
            self._send_points([Point(_HEADLINE, float("nan"), points[0].time, 0)])
        self._send_points(points[self._points :])
        self._points = len(points)

    def _send_points(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        for batch in _batches(points, _METRICS_A_BATCH):
            metrics = [Metric(point.name, point.value, point.time, point.step) for point in batch]
            self._client.log_batch(self.run_id, metrics=metrics)
            self._answered()

    def _send_files(self, events: Sequence[Event]) -> None:
        """Log the job's files, and take away what an earlier logging left that is none of them any longer."""
        kept = set()
        for path in _files(self._folder, events):
            relative = path.relative_to(self._folder)
            inside = relative.parent.as_posix()
            self._client.log_artifact(self.run_id, str(path), None if inside == "." else inside)
            kept.add(relative.as_posix())
            self._answered()
        stale = set(self._logged_files(None)) - kept if self._found else ()
        if stale:
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            repository = get_artifact_repository(self._artifacts, tracking_uri=self._store.uri)
            for name in sorted(stale):
                repository.delete_artifacts(name)
                self._answered()

    def _logged_files(self, folder: str | None) -> Iterator[str]:
        for entry in self._client.list_artifacts(self.run_id, folder):
            if entry.is_dir:
                yield from self._logged_files(entry.path)
            else:
                yield entry.path

    def _page(self) -> str:
        return f"#/experiments/{self._store.experiment_id}/runs/{self.run_id}/artifacts"


def _batches(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _files(folder: Path, events: Sequence[Event]) -> list[Path]:
    finished = entries.first(events, "JobFinished")
    # Without a result the folder may hold an earlier job's, which is not this run's.
    names = ["amct_log/amct_onnx.log", NAME] + ([*finished["files"], _MANIFEST] if finished else [])
    names += sorted(path.relative_to(folder).as_posix() for path in (folder / ".hydra").glob("*.yaml"))
    return [path for path in (own_file(folder, name) for name in dict.fromkeys(names)) if path is not None]
