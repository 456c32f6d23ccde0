"""Does a change keep every promised byte? Runs many jobs and keeps, or compares, the sha256 of all that they wrote.

    python -m benchmarks.same_bytes --keep before.json
    python -m benchmarks.same_bytes --against before.json

The jobs are both modes with all presets, strategies, sensitivities and observers on the shipped models, and both modes with all
presets on the models of the folder that ``RUNNER_ZOO`` names. Counts are small: bytes depend on every step, not on many items.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import ROOT, python

PRESETS = ("amct", "fast", "best")
# What a job may write differently every time: figures of clock and machine, paths, and what is drawn from them.
_UNPROMISED = ("manifest.json", "report.html", "events.jsonl", "amct_onnx.log", ".hydra", ".lock")
# Of summary.json, what has to be equal all the same.
_FIGURES = (
    *(
        "status",
        "complete",
        "float_metric",
        "quantized_metric",
        "loss",
        "target_loss",
        "target_met",
        "metrics",
        "samples",
    ),
    *("agreement", "kl", "sqnr_db", "layers_total", "layers_int8", "tensors_quantized", "macs_int8_share", "fallback"),
    *("evaluations", "verify", "warnings", "outputs"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """A job to look at: its name, its options, and the name of the run whose folder ``{after}`` stands for in them."""

    name: str
    options: tuple[str, ...]
    after: str | None = None


def shipped_runs() -> Iterator[Run]:
    """Yield jobs on the shipped models."""
    for preset in PRESETS:
        for target in ("0.2", "0.0001", "5"):
            yield Run(f"digits {preset} {target}", (f"quant={preset}", f"target_loss={target}"))
        yield Run(f"digits {preset} kl", (f"quant={preset}", "metric=kl", "target_loss=0.00002"))
    for strategy in ("binary", "linear", "greedy", "pareto"):
        for sensitivity in ("cosine", "mse", "sqnr", "end_to_end"):
            if strategy in ("greedy", "pareto") and sensitivity != "end_to_end":
                continue
            options = (
                f"strategy={strategy}",
                f"sensitivity={sensitivity}",
                "quant=amct",
                "metric=kl",
                "target_loss=0.00003",
            )
            yield Run(f"digits {strategy} {sensitivity}", options)
    for observer in ("ifmr", "hfmg", "minmax", "percentile"):
        yield Run(f"digits {observer}", (f"observer={observer}", "quant=amct"))
    yield Run("digits held out", ("split.disjoint=true", "split.report=0.3", "quant=amct"))
    yield Run(
        "digits skipped",
        ("layers=[{match: '*', observer: {_target_: runner.calibration.minmax.MinMax}}]", "quant=amct"),
    )
    yield Run("digits tensors", ("tensor_quantize=[]", "quant=amct"))
    yield Run("digits config", ("quant_config={after}/tmp/config.json",), after="digits amct 0.2")
    yield Run("digits record", ("record={after}/tmp/scale_offset_record.txt",), after="digits amct 0.2")
    yield Run("digits best record", ("record={after}/tmp/scale_offset_record.txt",), after="digits best 0.2")
    yield Run("digits_qat", ("mode=convert_qat",))


def zoo_runs() -> Iterator[Run]:
    """Yield jobs on the models of the zoo; none where there is no zoo."""
    zoo = Path(os.environ.get("RUNNER_ZOO") or ROOT.parent / "shared" / "zoo")
    if not zoo.is_dir():
        print(f"no zoo at {zoo}: the shipped models alone are compared", file=sys.stderr)
        return
    for file in sorted((ROOT / "tests" / "conf" / "experiment" / "zoo").glob("*.yaml")):
        experiment = ("--config-dir", "tests/conf", f"+experiment=zoo/{file.stem}")
        if "/mode: convert_qat" in file.read_text(encoding="utf-8"):
            yield Run(file.stem, (*experiment, "verify.count=4"))
            continue
        for preset in PRESETS:
            counts = ("calibration.count=6", "evaluation.count=8", "verify.count=2")
            yield Run(f"{file.stem} {preset}", (*experiment, f"quant={preset}", *counts))
        yield Run(
            f"{file.stem} missed",
            (
                *experiment,
                "quant=amct",
                *counts,
                "metric=sqnr",
                "target_loss=12",
                "sensitivity=end_to_end",
                "strategy=greedy",
                "sensitivity.items=2",
            ),
        )


def fingerprint(folder: Path) -> dict[str, Any]:
    """Return the digest of each promised file of a job's folder, and the figures that have to be equal."""
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and path.name != "summary.json" and not any(part in _UNPROMISED for part in relative.parts):
            files[str(relative)] = hashlib.sha256(path.read_bytes()).hexdigest()
    summary = folder / "summary.json"
    told = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    return {"files": files, "figures": {key: told[key] for key in _FIGURES if key in told}}


def run(job: Run, root: Path) -> dict[str, Any]:
    """Run a job and return its exit status, files and figures."""
    after = "" if job.after is None else str(_folder(root, job.after))
    options = [option.replace("{after}", after) for option in job.options]
    output = root / _slug(job.name)
    ended = python(
        ["-m", "runner", *options, "tracking=none", "cache=none", "engine.callers=1", f"paths.output={output}"]
    )
    if ended.status not in (0, 3):
        print(f"{job.name}: status {ended.status}: {ended.output[-600:]}", file=sys.stderr)
    return {"status": ended.status, **fingerprint(_folder(root, job.name))}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing of one run that is not what it was."""
    lines = []
    for part in ("files", "figures"):
        for key in sorted({*before[part], *after[part]}):
            old, new = before[part].get(key), after[part].get(key)
            if old != new:
                shown = "" if part == "files" else f": {old} -> {new}"
                lines.append(f"{key}{shown}" if old is not None and new is not None else f"{key}: {old} -> {new}")
    if before["status"] != after["status"]:
        lines.append(f"status {before['status']} -> {after['status']}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the jobs; keep their digests, or compare them, and return 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--keep", type=Path, metavar="FILE")
    way.add_argument("--against", type=Path, metavar="FILE")
    parser.add_argument("--only", default="", help="runs whose name holds this")
    parser.add_argument("--side-by-side", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    runs = [job for job in (*shipped_runs(), *zoo_runs()) if chosen.only in job.name]
    found = {}
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(chosen.side_by_side) as pool:
        for ready in ([job for job in runs if job.after is None], [job for job in runs if job.after is not None]):
            for job, result in zip(ready, pool.map(lambda job: run(job, Path(root)), ready), strict=True):
                found[job.name] = result
    files = sum(len(result["files"]) for result in found.values())
    if chosen.keep:
        chosen.keep.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"{len(found)} runs, {files} files kept")
        return 0
    before = json.loads(chosen.against.read_text(encoding="utf-8"))
    changed = {name: lines for name, result in found.items() if (lines := differences(before[name], result))}
    for name, lines in changed.items():
        print(name, *lines[:12], sep="\n    ")
    print(f"{len(found)} runs, {files} files: {len(found) - len(changed)} runs the same, {len(changed)} changed")
    return 1 if changed else 0


def _folder(root: Path, name: str) -> Path:
    """Return the one folder that a job made below its output."""
    made = [path for path in (root / _slug(name)).glob("*") if path.is_dir()]
    return made[0] if made else root / _slug(name)


def _slug(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
