"""From a composed configuration to the checked options of a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from runner.app.belonging import belongs
from runner.app.checking import build, refuse_misplaced, unknown_key
from runner.app.downloads import without_urls
from runner.app.inputs import Inputs, lifted
from runner.app.options import JOBS, AccAutoJob, Job
from runner.errors import ConfigError, RunnerError, raise_all
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.metric import Metric
from runner.tasks.of_task import OfTask, completed


def parse_job(config: Mapping[str, Any]) -> Job:
    """Return the checked options of a job.

    Raises:
        ConfigError: a key is unknown, missing or of the wrong type.
    """
    raise_all(faults_of_names(config))
    plain, inputs = sections_of(config)
    job: Job = build(plain, JOBS[config["mode"]], "")
    job = replace(job, dataset=inputs.of_evaluation(job.dataset))
    if isinstance(job, AccAutoJob):
        calibration = inputs.of_calibration(job.calibration.dataset)
        job = replace(job, calibration=replace(job.calibration, dataset=calibration))
    return job


def sections_of(config: Mapping[str, Any]) -> tuple[dict[str, Any], Inputs]:
    """Return the configuration as the sections of a job take it, and what is said beside them of the model's inputs.

    Raises:
        ConfigError: what is said of inputs is wrong.
    """
    plain, inputs = lifted(without_urls(config))
    if not isinstance(plain.get("expect", {}), Mapping):
        # In a file, too, a number alone is what is expected.
        plain["expect"] = {"value": plain["expect"]}
    return plain, inputs


def deciding(job: Job) -> Metric | AmctEvaluator:
    """Return what decides, with what it needs from beside it.

    Raises:
        ConfigError: a postprocess is given to what reads no boxes.
        DatasetError: the truth of the first item cannot be read.
    """
    metric = job.metric.metric(job.dataset) if isinstance(job.metric, OfTask) else job.metric
    if not isinstance(metric, AmctEvaluator):
        return completed(metric, job.dataset, job.postprocess)
    if job.postprocess is not None:
        raise ConfigError(
            "postprocess: boxes are read for metric=map; an evaluator of yours reads them itself. Leave postprocess out."
        )
    return metric


def faults_of_names(config: Mapping[str, Any]) -> list[RunnerError]:
    """Return what is wrong with the names of options: a mode that there is not, a key that it does not have, a misplaced one.

    Each names the key, and the mode that it belongs to. Nothing is imported.
    """
    mode = config.get("mode")
    if not isinstance(mode, str) or mode not in JOBS:
        return [ConfigError(f"mode: expected {' or '.join(JOBS)}, got {mode!r}.")]
    fields = JOBS[mode].__dataclass_fields__
    faults: list[RunnerError] = [ConfigError(_unknown(key, mode)) for key in config if key not in fields]
    try:
        refuse_misplaced(config, JOBS[mode])
    except ConfigError as error:
        faults.append(error)
    return [*faults, *_options_as_values(config)]


def _unknown(key: str, mode: str) -> str:
    for other in JOBS:
        if key in JOBS[other].__dataclass_fields__:
            return f"{key}: no such option of mode={mode}. {belongs(other)}"
    return unknown_key(key, JOBS[mode].__dataclass_fields__, key) + f" (mode={mode})"


def _options_as_values(config: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Yield an error for the name of a group's option where its content is expected, as ``dataset.preprocess=imagenet``."""
    for section, name, choice in (
        ("dataset", "preprocess", "dataset/preprocess"),
        ("calibration", "dataset", "+dataset@calibration.dataset"),
    ):
        inside = config.get(section)
        value = inside.get(name) if isinstance(inside, Mapping) else None
        if isinstance(value, str):
            yield ConfigError(
                f"{section}.{name}: {value} is the name of an option, and an option is chosen otherwise. Type {choice}={value}."
            )
