"""From a composed configuration to the checked options of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runner.app.belonging import belongs
from runner.app.checking import build, refuse_misplaced, unknown_key
from runner.app.downloads import without_urls
from runner.app.inputs import lifted
from runner.app.options import JOBS, AccAutoJob, Job
from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.metric import Metric
from runner.tasks.of_task import OfTask, completed


def parse_job(config: Mapping[str, Any]) -> Job:
    """Return the checked options of a job.

    Raises:
        ConfigError: a key is unknown, missing or of the wrong type.
    """
    refuse_unknown(config)
    _refuse_option_as_value(config)
    plain, inputs = lifted(without_urls(config))
    if not isinstance(plain.get("expect", {}), Mapping):
        # In a file, too, a number alone is what is expected.
        plain["expect"] = {"value": plain["expect"]}
    job: Job = build(plain, JOBS[config["mode"]], "")
    job = replace(job, dataset=inputs.of_evaluation(job.dataset))
    if isinstance(job, AccAutoJob):
        calibration = inputs.of_calibration(job.calibration.dataset)
        job = replace(job, calibration=replace(job.calibration, dataset=calibration))
    return job


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


def refuse_unknown(config: Mapping[str, Any]) -> None:
    """Refuse a mode that there is not, and options that the mode does not have.

    Raises:
        ConfigError: there is one; names the key, and the mode that it belongs to.
    """
    mode = config.get("mode")
    if not isinstance(mode, str) or mode not in JOBS:
        raise ConfigError(f"mode: expected {' or '.join(JOBS)}, got {mode!r}.")
    fields = JOBS[mode].__dataclass_fields__
    for key in config:
        for other in (other for other in JOBS if other != mode and key not in fields):
            if key in JOBS[other].__dataclass_fields__:
                raise ConfigError(f"{key}: no such option of mode={mode}. {belongs(other)}")
        if key not in fields:
            raise ConfigError(unknown_key(key, fields, key) + f" (mode={mode})")
    refuse_misplaced(config, JOBS[mode])


def _refuse_option_as_value(config: Mapping[str, Any]) -> None:
    """Refuse the name of a group's option where its content is expected, as ``dataset.preprocess=imagenet`` gives it."""
    for section, name, choice in (
        ("dataset", "preprocess", "dataset/preprocess"),
        ("calibration", "dataset", "+dataset@calibration.dataset"),
    ):
        inside = config.get(section)
        value = inside.get(name) if isinstance(inside, Mapping) else None
        if isinstance(value, str):
            raise ConfigError(
                f"{section}.{name}: {value} is the name of an option, and an option is chosen otherwise. Type {choice}={value}."
            )
