"""A job as Hydra hands it over: of a command, or of a sweep in whichever process and on whichever machine."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from runner.app import json_lines
from runner.app.asked import asked
from runner.app.held_folder import held
from runner.app.job import run_job
from runner.app.journal import read_events
from runner.app.labelled_lines import labelled_lines
from runner.app.loudness import KEYS as LOUDNESS
from runner.app.loudness import loudness_of
from runner.app.places import at_home, make_importable, names_own_class
from runner.app.sweep.fail_fast import first_failed, tell_failed
from runner.app.sweep.finished import finished_as
from runner.app.sweep.folder import hide_credentials
from runner.app.sweep.launchers import BASIC
from runner.app.sweep.outcome import FAILED_SWEEP, NO_FAILURE
from runner.app.sweep.plan import PlannedJob, read_plan
from runner.app.telling import tell
from runner.credentials import without_credentials
from runner.errors import OutputError
from runner.inside import writable_place
from runner.job_folder import read_manifest
from runner.modes.result import INTERRUPTED
from runner.report.kept_summary import read_summary
from runner.report.summary import SUMMARY

WRONG_INPUT = 2


def run_launched(config: DictConfig) -> int:
    """Run one job and return its exit status.

    Args:
        config: composed; Hydra's own is there as ``HydraConfig``.
    """
    hydra = HydraConfig.get()
    sweep = Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else None
    as_json = loudness_of({key: OmegaConf.select(config, key) for key in LOUDNESS}) == "json"
    try:
        if sweep is None:
            with json_lines.json_lines(as_json):
                return _run(config, {})
        plan = read_plan(sweep)
        if plan is None:
            raise OutputError(
                f"{sweep}: the plan of the sweep is not seen on {socket.gethostname()}. A sweep over several machines needs "
                "paths.output in a folder that all of them share."
            )
        job = plan.job(hydra.job.num, list(hydra.overrides.task))
        here = hydra.launcher._target_ == BASIC
        beside = json_lines.json_lines(as_json) if here else labelled_lines(job.label)
        if not Path(hydra.runtime.cwd).is_dir():
            raise OutputError(
                f"{hydra.runtime.cwd}: the directory of the command does not exist on {socket.gethostname()}."
            )
        # Paths are meant from the directory of the command, and a worker may have been started elsewhere.
        with beside, contextlib.chdir(hydra.runtime.cwd):
            return _run_in_sweep(config, sweep, job)
    except OutputError as error:
        tell(str(error))
        return WRONG_INPUT


def _run_in_sweep(config: DictConfig, sweep: Path, job: PlannedJob) -> int:
    hide_credentials(sweep)
    folder, fail_fast = sweep / job.folder, bool(config.sweep.fail_fast)
    status = finished_as(_plain(config), folder)
    if status is not None:
        tell("done before, with all its files; not run again", job.folder)
        return status
    failed = first_failed(sweep) if fail_fast else None
    if failed is not None:
        with contextlib.suppress(OSError):  # of an earlier sweep
            folder.rmdir()
        return FAILED_SWEEP
    text = ", ".join(f"{key}={value}" for key, value in job.varied.items())
    tags = {"sweep": sweep.name, "varied": text, "sweep.varied": json.dumps(dict(job.varied))}
    with json_lines.of_job(job.folder):
        status = _run(config, tags, job.label)
    if fail_fast and status not in (*NO_FAILURE, INTERRUPTED):
        tell_failed(sweep, job.folder)
    return status


def _run(config: DictConfig, tags: Mapping[str, str], label: str = "") -> int:
    hydra = HydraConfig.get()
    plain, folder = _plain(config), Path(hydra.runtime.output_dir)
    # A user's own classes lie where the command is given or beside the configuration.
    given = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    if names_own_class(plain):
        make_importable([str(Path.cwd()), *given])
    with held(folder, "Wait for it, or give this job a folder of its own with paths.job=NAME."):
        _tell_replaced(plain, folder)
        _keep_configuration(config, folder)
        choices = {str(key): str(value) for key, value in hydra.runtime.choices.items()}
        return run_job(plain, folder, asked(config, choices, hydra.overrides.task, sys.argv[1:]), tags, label)


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)  # the root of a configuration is a mapping
    return {str(key): at_home(value) for key, value in plain.items()}


def _keep_configuration(config: DictConfig, folder: Path) -> None:
    """Write ``.hydra/`` as Hydra does, which would do so before the folder is held; passwords of addresses are left out."""
    hydra = HydraConfig.get()
    parts = {"config": config, "hydra": OmegaConf.create({"hydra": hydra}), "overrides": hydra.overrides.task}
    try:
        for name, part in parts.items():
            text = without_credentials(OmegaConf.to_yaml(part))
            writable_place(folder, f".hydra/{name}.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        where = f"{error.filename or folder} cannot be written: {error.strerror}"
        raise OutputError(f"paths.output: {where}. Set paths.output to a folder that can.") from error


def _tell_replaced(config: Mapping[str, Any], folder: Path) -> None:
    """Say that the results of another model go, where they do."""
    if SUMMARY not in read_manifest(folder) or not isinstance(config.get("model"), Mapping):
        return
    summary = read_summary(folder)
    if summary is None:
        return
    earlier = str(summary.get("model"))
    started = next((event for event in read_events(folder) if event["event"] == "JobStarted"), None)
    path = str(config["model"].get("path"))
    name = str(config["model"].get("name") or Path(path).stem)
    earlier_model = None if started is None else started["config"].get("model")
    earlier_path = str(earlier_model.get("path")) if isinstance(earlier_model, Mapping) else path
    if (earlier, earlier_path) == (name, path):
        return
    if earlier == name:
        earlier, name = earlier_path, path
    tell(
        f"{folder} holds the results of {earlier}, which those of {name} replace. paths.job=NAME gives a run a folder of its "
        "own.",
        "note",
    )
