"""What a job needs beside its model and data: a folder, disk, the place of its runs, a cluster or launcher, downloads."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.app.doctor.case import JobCase
from runner.app.downloads import missing_remotes
from runner.app.held_folder import holder_of, is_held
from runner.app.sweep.launchers import BASIC
from runner.app.tracking.place import place
from runner.app.tracking.reach import file_of, not_reached
from runner.distributed.ray_cluster import require_answer
from runner.graph.model_file import weights_size
from runner.modes.doctor.examined import NotKnown
from runner.modes.doctor.finding import Finding, fault, ok, warning
from runner.rounded import rounded
from runner.space import NEEDED_BYTES, free_bytes, nearest_folder

_GB, _MB = 1e9, 1e6
# The written models, the record and the report, by the size of the weights.
_WRITTEN = 3.0
_SLURM = "SlurmLauncher"
_CLASSES = {
    "JoblibLauncher": "joblib",
    "LocalLauncher": "submitit_local",
    "SlurmLauncher": "submitit_slurm",
    "RayLauncher": "ray",
}


def look_at_downloads(case: JobCase) -> Iterator[Finding]:
    """Say what is missing and has an address."""
    never = case.sections["download"].policy == "never"
    for remote in missing_remotes(case.config):
        if never:
            yield fault(
                f"{remote.key}: {remote.place} does not exist, and download=never fetches nothing",
                advice=f"Put it there from {remote.shown}, or set download=auto.",
            )
        else:
            yield warning(
                f"{remote.key}: {remote.place} is not there; a job fetches it from {remote.shown}",
                advice="What it holds can be checked once it is there.",
            )


def look_at_folder(case: JobCase) -> Iterator[Finding]:
    """See whether the job may write, and what it would replace."""
    folder = case.composed.folder
    existing = nearest_folder(folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield fault(
            f"paths.output: {existing} cannot be written, and {folder} is to be made there",
            advice="Set paths.output to a folder that can.",
        )
        return
    if is_held(folder):
        yield warning(
            f"paths.job: a job writes to {folder} at this moment ({holder_of(folder) or 'another process'})",
            advice="Wait for it, or set paths.job=NAME.",
        )
        return
    replaced = "; the results there would be replaced" if (folder / "manifest.json").is_file() else ""
    yield ok(f"{folder}{replaced}")


def look_at_disk(case: JobCase) -> Iterator[Finding]:
    """Hold free space against what the job writes, and what it keeps for later ones."""
    root = Path(str(case.config["paths"]["output"])).absolute()
    free = free_bytes(root)
    written, kept = NEEDED_BYTES + _WRITTEN * _weights(case), _kept(case)
    if free is None:
        return
    if free < written:
        yield fault(
            f"paths.output: {free / _MB:.0f} MB are free at {nearest_folder(root)}, and the job writes about "
            f"{written / _MB:.0f} MB",
            advice="Free some, or set paths.output to a folder elsewhere.",
        )
        return
    if free < written + kept:
        yield warning(
            f"cache.max_gb: {rounded(free / _GB, 3)} GB are free, of which kept results and images may take "
            f"{rounded(kept / _GB, 3)} GB",
            advice="Lower cache.max_gb, or set cache=none.",
        )
        return
    yield ok(
        f"{rounded(free / _GB, 3)} GB are free; the job writes about {written / _MB:.0f} MB, and keeps up to "
        f"{rounded(kept / _GB, 2)} GB"
    )


def _weights(case: JobCase) -> int:
    try:
        return weights_size(case.source.graph)
    except NotKnown:
        return 0


def _kept(case: JobCase) -> float:
    """Return the bytes that results and decoded images may take for later jobs."""
    cache = case.sections["cache"]
    if cache.name == "none":
        return 0.0
    try:
        pixels = float(len(case.split.search) * sum(size for size in _sizes(case)))
    except NotKnown:
        pixels = 0.0
    return min(float(cache.max_gb) * _GB, pixels + _WRITTEN * _weights(case))


def _sizes(case: JobCase) -> Iterator[int]:
    for array in case.dataset.item(case.split.search.indices[0]).arrays.values():
        yield int(array.size)  # a byte a pixel


def look_at_tracking(case: JobCase) -> Iterator[Finding]:
    """See whether the place of the runs answers; nothing is made there."""
    options = case.sections.get("tracking")
    if options is None or options.name == "none":
        return
    where = place(Path(str(case.config["paths"]["output"])).absolute(), options, os.environ)
    unreached = not_reached(where)
    if unreached is not None:
        yield warning(unreached)
    elif where.is_server or (where.uri is not None and not where.uri.startswith(("sqlite", "file"))):
        yield ok(f"{where.shown} answers")
    else:
        path = file_of(where)
        yield ok(f"{path}{'' if path.exists() else ', which the first job makes'}")


def look_at_engine(case: JobCase) -> Iterator[Finding]:
    """See whether what is to run the model, or the jobs, is installed and answers."""
    engine: Any = case.sections.get("engine")
    if engine is not None and engine.name == "ray":
        yield from _of_ray(engine.address)
    launcher = case.composed.launcher
    if launcher == BASIC:
        return
    name = next((name for kind, name in _CLASSES.items() if launcher.endswith(kind)), launcher)
    if launcher.endswith(_SLURM) and shutil.which("sbatch") is None:
        yield fault(
            f"hydra/launcher={name}: there is no sbatch on this machine, so no job can be handed to Slurm",
            key="hydra/launcher",
            advice="Run the command where sbatch is, or set hydra/launcher=submitit_local.",
        )
        return
    yield ok(f"jobs are started by {name}")


def _of_ray(address: str | None) -> Iterator[Finding]:
    if importlib.util.find_spec("ray") is None:
        yield fault(
            "engine=ray: Ray is not installed",
            key="engine",
            advice="Install the extra: pip install 'onnx-quant-runner[ray]', or set engine=local.",
        )
        return
    if address is None:
        yield ok("Ray is started on this machine, for this job")
        return
    try:
        require_answer(address)
    except OSError as error:
        yield fault(
            f"engine.address: no cluster answers at {address} ({error})",
            advice="Start one (ray start --head --port=6379) and give its host:6379.",
        )
        return
    yield ok(f"a cluster answers at {address}")
