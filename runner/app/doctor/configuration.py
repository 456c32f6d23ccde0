"""The configuration: every option that is wrong, and of the rest what later checks rely on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from runner.app.checking import build
from runner.app.doctor.case import JobCase
from runner.app.job import acc_auto_options, convert_qat_options
from runner.app.options import JOBS, AccAutoJob
from runner.app.parsing import deciding, faults_of_names, sections_of
from runner.app.places import shipped
from runner.errors import RunnerError
from runner.modes.doctor.finding import Finding, faults_of, ok, warning

# What no other option can stand for.
_OWN = ("model", "dataset")


def look_at_configuration(case: JobCase) -> Iterator[Finding]:
    """Build every section by itself, so that one that is wrong hides no other."""
    names = faults_of_names(case.config)
    found = [finding for error in names for finding in faults_of(error)]
    mode = case.config.get("mode")
    if mode not in JOBS:
        yield from found
        return
    case.mode = str(mode)
    built, faults = _built(case, {key: value for key, value in case.config.items() if key in _hints(case.mode)})
    found += faults
    case.sections = built
    case.target = built["target"]
    if "model" in built:
        case.path = built["model"].path
        case.name = built["model"].name or Path(case.path).stem
    if "dataset" in built:
        case.dataset, case.calibration = built["dataset"], _calibration(built)
    if all(name in built for name in _OWN):
        case.job = JOBS[case.mode](**built)
        for _ in built:
            told = _decide(case)
            found += told
            # What one option spoils is looked at with the shipped one in its place.
            if not told or not _mended(case, {one.key.partition(".")[0].partition("[")[0] for one in told}):
                break
    yield from found
    if not found:
        yield ok(f"mode={case.mode}, every option is one")
    yield from _unnamed_data(case)


def _unnamed_data(case: JobCase) -> Iterator[Finding]:
    """Say that a model of the user's own meets the shipped images, where no data was named."""
    model, images = (case.config.get(name) for name in _OWN)
    if not isinstance(model, dict) or not isinstance(images, dict):
        return
    own_model = Path(str(model.get("path"))).resolve().parent != Path(shipped("model")).resolve()
    if own_model and str(images.get("images")) == shipped("data/digits/eval"):
        yield warning(
            "dataset: no data was named, so the shipped digits are taken",
            advice="Name your own: dataset=image_folder, npz, coco, …; docs/howto/datasets.md tells each.",
        )


def _hints(mode: str) -> dict[str, Any]:
    return get_type_hints(JOBS[mode])


def _calibration(built: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a dataset, if any
    calibration = built.get("calibration")
    return None if calibration is None else calibration.dataset


def _built(case: JobCase, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Return the sections by name, and what is wrong with some; these are the shipped ones, or missing where none can be."""
    faults: list[Finding] = []
    try:
        plain, inputs = sections_of(config)
    except RunnerError as error:
        faults += faults_of(error)
        plain, inputs = sections_of(
            {key: value for key, value in config.items() if key not in ("dataset", "calibration")}
        )
    built: dict[str, Any] = {}
    defaults = None
    for field in fields(JOBS[case.mode]):
        hint = _hints(case.mode)[field.name]
        if field.name in plain:
            try:
                built[field.name] = build(plain[field.name], hint, field.name)
                continue
            except RunnerError as error:
                faults += faults_of(error)
        if field.default_factory is not MISSING:
            built[field.name] = field.default_factory()
        if field.default is not MISSING or field.default_factory is not MISSING or field.name in _OWN:
            continue
        defaults = defaults or _shipped(case.mode)
        built[field.name] = build(defaults[field.name], hint, field.name)
    if "dataset" in built:
        built["dataset"] = inputs.of_evaluation(built["dataset"])
    calibration = built.get("calibration")
    if calibration is not None:
        built["calibration"] = replace(calibration, dataset=inputs.of_calibration(calibration.dataset))
    return built, faults


def _shipped(mode: str) -> Mapping[str, Any]:
    """Return the sections of the configuration that a mode has by itself, as plain values."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [f"mode={mode}"]), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def _decide(case: JobCase) -> list[Finding]:
    """Find out what decides, and with it the options of the mode; return what is wrong with them."""
    job = case.job
    try:
        case.metric = deciding(job)
        if isinstance(job, AccAutoJob):
            case.options = acc_auto_options(job, case.metric)
        else:
            case.options = convert_qat_options(job, case.metric)
    except RunnerError as error:
        return faults_of(error)
    return []


def _mended(case: JobCase, keys: set[str]) -> bool:
    """Put the shipped sections in the place of some; return whether there are any."""
    hints, defaults = _hints(case.mode), _shipped(case.mode)
    plain, _ = sections_of(defaults)
    keys = {key for key in keys if key in plain and key not in _OWN}
    if keys:
        case.job = replace(case.job, **{key: build(plain[key], hints[key], key) for key in keys})
    return bool(keys)
