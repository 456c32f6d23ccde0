"""One job, from its composed configuration to its exit status."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.app import json_lines
from runner.app.downloads import fetch_missing
from runner.app.engines import engine_of
from runner.app.journal import Journal
from runner.app.live_jobs import counted_as_live, counted_lately, default_folder
from runner.app.logs import job_log
from runner.app.loudness import KEYS as LOUDNESS
from runner.app.loudness import Loudness, loudness_of
from runner.app.options import AccAutoJob, ConvertQatJob, Job
from runner.app.parsing import deciding, faults_of_names
from runner.app.progress import ProgressDisplay
from runner.app.ready import parsed, require_ready
from runner.app.run_description import label, own_tags, params
from runner.app.telling import fault, tell, tell_people, tell_traceback
from runner.app.termination import terminated_as_interrupted
from runner.app.tracking.following import Following
from runner.engine import Engine, available_cores
from runner.errors import RunnerError, VerificationError, raise_all
from runner.evaluation.accuracy import TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.metric import Metric
from runner.events import Emit, Event, JobFailed, JobFinished, JobStarted, Warned
from runner.figure import Report
from runner.job_folder import withdraw_unfinished
from runner.memory import bound_memory, share_heaps
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.layer_settings import LayerSettings
from runner.modes.result import INTERRUPTED, JobResult, exit_status
from runner.report.kept_summary import read_summary
from runner.report.sections.again import Asked
from runner.report.summary import SUMMARY
from runner.report.terminal import print_full, print_short, print_verdict, print_verdict_of
from runner.report.told import JobFacts
from runner.report.tracked import sentence, tracked
from runner.report.write import write_report
from runner.store.store import Store
from runner.tasks.of_task import OfTask

logger = logging.getLogger(__name__)
# What a job finds is the same whatever these say.
_OF_NO_RESULT = ("tune", "report", "doctor", *LOUDNESS)
INTERNAL_FAULT, WRONG_INPUT, VERIFICATION_FAILED = 1, 2, 4


def run_job(config: Mapping[str, Any], folder: Path, asked: Asked, tags: Mapping[str, str], label: str = "") -> int:
    """Run one job and return its exit status; every failure is told on standard error and kept in ``events.jsonl``.

    Args:
        config: the composed configuration as plain values.
        folder: the job's.
        asked: what that was composed of.
        tags: more tags for the tracker, such as the sweep's id.
        label: of a job of a sweep.
    """
    journal: Journal | None = None
    loudness, tracking = loudness_of(config), config.get("tracking")
    tracked_later = isinstance(tracking, Mapping) and tracking.get("name") != "none"
    display = ProgressDisplay(loudness=loudness, label=label, tracked=tracked_later)
    following: Following | None = None
    finished = False
    try:
        journal = Journal(folder)
        emit = _emit_to(journal, display, json_lines.hear)
        bound_memory()
        share_heaps(available_cores())
        with job_log(folder), terminated_as_interrupted():
            raise_all(faults_of_names(config))
            fetch_missing(config, emit)
            job = parsed(config)
            if job.tracking.name != "none":
                following = Following(folder, Path(job.paths.output).absolute(), job.tracking)
            status, report = _run(job, deciding(job), config, folder, asked, tags, emit)
            display.close()
            _print(report, folder, loudness, label)
        finished = True
    except KeyboardInterrupt as error:
        # A model pair that is there already stays: it is valid, and the same command goes on from it.
        status = _fail(error, journal, display)
    except Exception as error:  # the edge: whatever it is, the user gets one line, the log the rest
        _withdraw(folder)
        status = _fail(error, journal, display)
        if status == INTERNAL_FAULT:
            tell_traceback()
    finally:
        display.close()
        if journal is not None:
            with contextlib.suppress(OSError):  # told by whatever failed before
                journal.close()
    if finished and status == INTERRUPTED:
        tell("the same command goes on from the last finished plan.", "interrupted")
    if following is not None:
        following.end(
            display,
            finished=finished,
            interrupted=status == INTERRUPTED,
            tells=not label and loudness in ("short", "full"),
        )
    if not label:
        json_lines.say_end(status, **_left(folder, finished=finished))
    return status


def _emit_to(*listeners: Emit) -> Emit:
    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit


def _left(folder: Path, *, finished: bool) -> dict[str, Any]:
    """Return what the last line of JSON says of a job."""
    return {"folder": str(folder.absolute()), **({"summary": read_summary(folder)} if finished else {})}


def _run(
    job: Job,
    metric: Metric | AmctEvaluator,
    config: Mapping[str, Any],
    folder: Path,
    asked: Asked,
    tags: Mapping[str, str],
    emit: Emit,
) -> tuple[int, WrittenReport]:
    made_of = {key: value for key, value in config.items() if key not in _OF_NO_RESULT}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()
    choices = asked.choices
    if choices.get("metric") == "auto":
        choices = {**choices, "metric": metric.name}
    emit(
        JobStarted(
            label(job, metric.name, choices.get("strategy", "")),
            params(config, choices),
            # Absolute, so that it says the same wherever it is read.
            {**config, "paths": {**config["paths"], "output": str(Path(job.paths.output).absolute())}},
            {**own_tags(job, folder), **job.tune.tags(), **tags},
        )
    )
    require_ready(job, config, functools.partial(_warn, emit))
    result = _start(job, metric, config, folder, emit)
    status = exit_status(result.status)
    report = write_report(result, JobFacts(job.seed, digest, job.report.language, asked))
    files = tuple(path.relative_to(folder).as_posix() for path in result.folder.files)
    emit(JobFinished(result.status, status, tracked(report), files, sentence(report)))
    return status, WrittenReport(report, result.folder.files)


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What is told of a job, and the files of its result."""

    report: Report
    files: Sequence[Path]


def _print(written: WrittenReport, folder: Path, loudness: Loudness, label: str) -> None:
    """Print as much of a result as was asked for; of a sweep's job a line, for the sweep's table says the rest."""
    if loudness == "full":
        print_full(written.report, folder, written.files, label)
    elif label and loudness == "short":
        print_verdict_of(label, written.report)
    elif loudness == "short":
        print_short(written.report)
    elif loudness == "quiet" and not label:
        print_verdict(written.report)


def _start(job: Job, metric: Metric | AmctEvaluator, config: Mapping[str, Any], folder: Path, emit: Emit) -> JobResult:
    store = _store(job, emit)
    with counted_as_live(default_folder()) as live_jobs:
        share = functools.partial(_share_of_cores, counted_lately(live_jobs))
        try:
            with engine_of(job, config, store, share=share, warn=functools.partial(_warn, emit)) as engine:
                return _finished(job, metric, folder, engine, store, emit)
        finally:
            if store is not None:
                store.trim()


def _share_of_cores(live_jobs: Callable[[], int]) -> int:
    return -(-available_cores() // live_jobs())


def _warn(emit: Emit, message: str) -> None:
    logger.warning(message)
    emit(Warned(message))


def _store(job: Job, emit: Emit) -> Store | None:
    if job.cache.name == "none":
        return None
    root = Path(job.paths.output).absolute() / "cache"
    return Store(
        root, int(job.cache.max_gb * 1e9), refresh=job.cache.name == "refresh", warn=functools.partial(_warn, emit)
    )


def _finished(
    job: Job, metric: Metric | AmctEvaluator, folder: Path, engine: Engine, store: Store | None, emit: Emit
) -> JobResult:
    if isinstance(job, AccAutoJob):
        return acc_auto(
            job.model.path,
            job.dataset,
            folder,
            acc_auto_options(job, metric),
            name=job.model.name,
            calibration_dataset=job.calibration.dataset,
            engine=engine,
            store=store,
            emit=emit,
        )
    return convert_qat(
        job.model.path,
        job.dataset,
        folder,
        convert_qat_options(job, metric),
        name=job.model.name,
        engine=engine,
        store=store,
        emit=emit,
    )


def acc_auto_options(job: AccAutoJob, metric: Metric | AmctEvaluator) -> AccAutoOptions:
    """Return what a job asks of ``acc_auto``.

    Args:
        job: its options.
        metric: decides.

    Raises:
        ConfigError: they contradict one another.
    """
    return AccAutoOptions(
        target_loss=job.target_loss,
        metric=metric,
        observer=job.observer,
        sensitivity=job.sensitivity,
        strategy=job.strategy,
        correction=job.correction,
        calibration_count=job.calibration.count,
        evaluation_count=job.evaluation.count,
        split=job.split,
        output_kind=job.model.output,
        settings=LayerSettings(job.layers, job.skip_layers, job.skip_layer_types, job.tensor_quantize),
        quant_config=job.quant_config,
        record=job.record,
        target=job.target,
        verify=job.verify,
        budget=job.budget,
        expect=job.expect,
        confidence=job.search.confidence,
        keep_intermediates=job.keep_intermediates,
        intermediates_count=job.intermediates.count,
        seed=job.seed,
    )


def convert_qat_options(job: ConvertQatJob, metric: Metric | AmctEvaluator) -> ConvertQatOptions:
    """Return what a job asks of ``convert_qat``.

    Args:
        job: its options.
        metric: comes first.
    """
    # What metric=auto means for classes is left open: without labels agreement leads.
    left_open = isinstance(job.metric, OfTask) and metric == TopK()
    return ConvertQatOptions(
        metric=None if left_open or isinstance(metric, AmctEvaluator) else metric,
        on_asymmetric_weight=job.on_asymmetric_weight,
        image=job.image,
        evaluation_count=job.evaluation.count,
        output_kind=job.model.output,
        target=job.target,
        verify=job.verify,
        expect=job.expect,
        keep_intermediates=job.keep_intermediates,
        intermediates_count=job.intermediates.count,
    )


def _withdraw(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that is gone, or cannot be changed any longer
        withdraw_unfinished(folder, SUMMARY)


def _fail(error: BaseException, journal: Journal | None, display: ProgressDisplay) -> int:
    display.close()
    message = fault(error)
    if isinstance(error, KeyboardInterrupt):
        status, message = INTERRUPTED, "interrupted"
    elif message is not None:
        status = VERIFICATION_FAILED if isinstance(error, VerificationError) else WRONG_INPUT
    else:
        status, message = INTERNAL_FAULT, f"internal fault: {type(error).__name__}: {error}"
    for said in [str(one) for one in error.each] if isinstance(error, RunnerError) else [message]:
        tell_people(said)
    failed = JobFailed(type(error).__name__, message, status)
    json_lines.hear(failed)
    if journal is not None:
        with contextlib.suppress(OSError, RunnerError):
            journal(failed)
    return status
