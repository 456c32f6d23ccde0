"""What lies in a job's folder, a sweep's or the cache, from this machine or another."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.fuzz import seeds
from benchmarks.fuzz.archives import members, npy_head
from benchmarks.fuzz.damage import Damage, anywhere, lines
from benchmarks.fuzz.spot import Spot
from benchmarks.fuzz.subjects.command import told
from benchmarks.fuzz.subjects.job import quick_job
from benchmarks.fuzz.trees import json_lines, json_tree
from runner import NpzDataset
from runner.app.compare_dump import main as compare_dump
from runner.app.journal import NAME, Journal, read_events
from runner.app.sweep.finished import finished_as
from runner.app.sweep.report import main as sweep_report
from runner.app.tracking import entries
from runner.manifest import MANIFEST
from runner.store.store import Store

_TREES: tuple[Damage, ...] = (anywhere, lines, json_tree, json_tree)
_EVENTS: tuple[Damage, ...] = (anywhere, lines, json_lines, json_lines)


def events(folder: Path) -> Sequence[Spot]:
    """Damage a job's events and manifest, which a sweep and ``quant-log-run`` read."""
    job, config = folder / "job", {"model": {"path": str(folder / "net.onnx")}, "paths": {"output": "outputs"}}
    ended_job(folder, job, config)

    def log() -> None:
        read = list(read_events(job))
        started = entries.first(read, "JobStarted")
        if started is None:
            return
        entries.job_id(read)
        entries.run_name(read, "job")
        entries.params(read)
        entries.tags(read)
        entries.end_tags(read)
        entries.status(read)
        list(entries.trial_points(read))
        entries.result_points(read)
        entries.description(read, "page")

    return [
        Spot(job / NAME, _EVENTS, log),
        Spot(job / NAME, _EVENTS, lambda: finished_as(config, job)),
        Spot(job / MANIFEST, _TREES, lambda: finished_as(config, job)),
        Spot(job / "summary.json", _TREES, lambda: finished_as(config, job)),
        Spot(job / MANIFEST, _TREES, lambda: ended_job(folder, job, config)),
    ]


def cache(folder: Path) -> Sequence[Spot]:
    """Damage what earlier jobs kept: a job makes it again."""
    model = folder / "net.onnx"
    model.write_bytes(seeds.product().SerializeToString())
    rows = np.random.default_rng(6).normal(size=(8, 6)).astype(np.float32)
    np.savez(folder / "data.npz", x=rows)
    whole = folder / "whole"

    def job(root: Path) -> None:
        from runner import AccAutoOptions, MinMax, Sqnr, acc_auto

        options = AccAutoOptions(target_loss=1000.0, metric=Sqnr(), observer=MinMax(), calibration_count=2)
        store = Store(root, 10**8, warn=lambda message: None)
        acc_auto(model, NpzDataset(str(folder / "data.npz")), folder / "job", options, store=store)

    job(whole)
    inner = members(lambda rng, data: rng.choice([anywhere, npy_head, json_tree_or_bytes])(rng, data))

    def use(path: Path) -> None:
        damaged = folder / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(whole, damaged)
        job(damaged)

    return [Spot(path, [anywhere, _signed(inner), _signed(anywhere)], partial(use, path)) for path in _files(whole)]


def sweep(folder: Path) -> Sequence[Spot]:
    """Damage the plan of a sweep and what its jobs left, which ``quant-sweep-report`` reads."""
    root, model = folder / "sweep", folder / "net.onnx"
    config = {"model": {"path": str(model)}, "paths": {"output": "outputs"}}
    jobs = []
    for number, name in enumerate(("0_target_loss=0.1", "1_target_loss=0.2")):
        ended_job(folder, root / name, config)
        jobs.append({"number": number, "folder": name, "varied": {"target_loss": f"0.{number + 1}"}, "options": {}})
    plan = {
        "format": 1,
        "started": 1.0,
        "overrides": ["target_loss=0.1,0.2"],
        "varied": ["target_loss"],
        "planned": True,
        "jobs": jobs,
    }
    (root / "sweep.json").write_text(json.dumps(plan), encoding="utf-8")

    def use() -> None:
        told(sweep_report, [str(root)], fine=(0, 1, 3, 4, 5, 130))

    first = root / "0_target_loss=0.1"
    return [
        Spot(root / "sweep.json", _TREES, use),
        Spot(first / NAME, _EVENTS, use),
        Spot(first / "summary.json", _TREES, use),
    ]


def dump(folder: Path) -> Sequence[Spot]:
    """Damage what a job kept of its values, and a chip's dump."""
    model = folder / "net.onnx"
    model.write_bytes(seeds.convolutions().SerializeToString())
    np.savez(folder / "data.npz", x=seeds.items())
    quick_job(model, NpzDataset(str(folder / "data.npz")), folder / "job", keep_intermediates=True)
    (kept,) = [path.parent for path in (folder / "job").rglob("index.json")]
    dumps = folder / "dumps"
    dumps.mkdir()
    index = json.loads((kept / "index.json").read_text(encoding="utf-8"))
    for number, tensor in enumerate(index["tensors"]):
        place = tensor["places"][0] if tensor["places"] else None
        if place is not None:
            name = f"Op.{place['node']}.1.17.{1764170000123456 + number}.{place['side']}.{place['index']}.npy"
            shutil.copy(kept / tensor["file"], dumps / name.replace("/", "_"))

    def use() -> None:
        told(compare_dump, [str(kept), str(dumps)], fine=(0, 4))

    values = sorted(kept.rglob("*.npy"))[:4]
    return [
        *(Spot(path, [anywhere, npy_head], use) for path in [*values, *sorted(dumps.iterdir())[:4]]),
        *(Spot(kept / "index.json", _TREES, use) for _ in range(8)),
    ]


def json_tree_or_bytes(rng: random.Random, data: bytes) -> bytes:
    """Change JSON that lies in an array of bytes; anything else as bytes."""
    start = data.find(b'{"values"')
    if start < 0:
        return anywhere(rng, data)
    return data[:start] + json_tree(rng, data[start:])


def ended_job(
    folder: Path,
    job: Path,
    config: Mapping[str, Any],
    *,
    made: onnx.ModelProto | None = None,
    x: NDArray[np.float32] | None = None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Leave what a whole job leaves, made by the program's own means, without its command line."""
    from runner.events import JobFinished, JobStarted
    from runner.report.told import JobFacts
    from runner.report.tracked import sentence, tracked
    from runner.report.write import write_report

    model = folder / "net.onnx"
    model.write_bytes((made or seeds.product()).SerializeToString())
    np.savez(folder / "data.npz", x=np.random.default_rng(6).normal(size=(8, 6)).astype(np.float32) if x is None else x)
    journal = Journal(job)
    journal(JobStarted("net", {"target_loss": "1"}, config, {"job.id": "1", "sweep.varied": '{"target_loss": "0.1"}'}))
    result = quick_job(model, NpzDataset(str(folder / "data.npz")), job, emit=journal, **options)
    report = write_report(result, JobFacts(0, "digest"))
    files = tuple(path.relative_to(job).as_posix() for path in result.folder.files)
    journal(JobFinished(result.status, 0, tracked(report), files, sentence(report)))
    journal.close()


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _signed(inner: Damage) -> Damage:
    """Return damage whose digest is right again, as another program's or an attacker's would be."""

    def damage(rng: random.Random, data: bytes) -> bytes:
        payload = data[:-32]
        try:
            changed = inner(rng, payload)
        except Exception:  # no archive: one array
            changed = npy_head(rng, payload)
        return changed + hashlib.sha256(changed).digest()

    return damage
