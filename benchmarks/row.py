"""One tool on one model, as a row of figures."""

from __future__ import annotations

import importlib.util
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.process import Ended, python

OURS = "runner"
NEEDS = {
    "nncf": "nncf",
    "nncf-plain-loop": "nncf",
    "nncf-all": "nncf",
    "ort-minmax": "onnxruntime",
    "ort-percentile": "onnxruntime",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What a tool took and gave; a figure that does not apply is None.

    Attributes:
        seconds: of the whole process, from command to end, with all that it does: ours verifies what it wrote. The least of
            several runs where there were more.
        full, partial: evaluations of all items, and of some.
        int8: quantized layers (ours) or operations with quantized weights (peers).
        float_seconds: one evaluation of the float model over the same items, decoded; measured by our runs.
        seconds_by_stage: ours only.
        median: of the seconds of several runs; None of a single one.
    """

    case: str
    tool: str
    seconds: float
    peak_mib: float
    full: int | None = None
    partial: int | None = None
    top1: float | None = None
    loss: float | None = None
    kl: float | None = None
    agreement: float | None = None
    int8: int | None = None
    float_seconds: float | None = None
    seconds_by_stage: Mapping[str, float] | None = None
    note: str = ""
    median: float | None = None


def best_of(runs: Sequence[Row]) -> Row:
    """Return the quickest of several runs of one command, with the median of all and the largest peak; a failed one counts."""
    failed = next((run for run in runs if run.full is None and run.note.startswith("failed")), None)
    if failed is not None:
        return failed
    quickest = min(runs, key=lambda run: run.seconds)
    middle = statistics.median(run.seconds for run in runs) if len(runs) > 1 else None
    return replace(quickest, peak_mib=max(run.peak_mib for run in runs), median=middle)


def ours(case: Case, *options: str, label: str = OURS) -> Row:
    """Run the runner's command line and read its summary."""
    with tempfile.TemporaryDirectory() as folder:
        given = ["tracking=none", f"paths.output={folder}", *options]
        root = next(option for option in reversed(given) if option.startswith("paths.output=")).partition("=")[2]
        path = Path(root) / "acc_auto" / "summary.json"
        path.unlink(missing_ok=True)
        ended = python(["-m", "runner", *case.options, *given])
        if not path.is_file():
            return _failed(case, label, ended)
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    seconds = summary["seconds"]
    return Row(
        case.name,
        label,
        ended.seconds,
        ended.peak_mib,
        summary["evaluations"]["full"],
        summary["evaluations"]["partial"],
        summary["metrics"].get("top1", {}).get("quantized"),
        summary["loss"],
        summary.get("kl"),
        summary.get("agreement"),
        summary["layers_int8"],
        seconds["float_eval"],
        seconds,
        f"{summary['layers_int8']} of {summary['layers_total']} layers, {summary['status']}",
    )


def peer(case: Case, tool: str, *options: str) -> Row:
    """Run a peer, then score its model in another process."""
    if importlib.util.find_spec(NEEDS[tool]) is None:
        return Row(case.name, tool, 0.0, 0.0, note=f"{NEEDS[tool]} is not installed: pip install -e '.[bench]'")
    with tempfile.TemporaryDirectory() as folder:
        given = [*case.options, *options]
        ended = python(["-m", "benchmarks.peer", tool, folder, *given])
        if ended.status != 0:
            return _failed(case, tool, ended)
        took = json.loads((Path(folder) / "peer.json").read_text(encoding="utf-8"))
        result = Path(folder) / "score.json"
        scored = python(["-m", "benchmarks.score_file", str(Path(folder) / "model.onnx"), str(result), *given])
        if scored.status != 0:
            return _failed(case, tool, scored)
        score = json.loads(result.read_text(encoding="utf-8"))
    loss = None if score["top1"] is None else score["float_top1"] - score["top1"]
    return Row(
        case.name,
        tool,
        ended.seconds,
        ended.peak_mib,
        took.get("full"),
        took.get("partial"),
        score["top1"],
        loss,
        score["kl"],
        score["agreement"] / 100,
        score["int8"],
        note=f"{took['seconds']:.1f} s in the tool",
    )


def _failed(case: Case, tool: str, ended: Ended) -> Row:
    last = next((line for line in reversed(ended.output.splitlines()) if line.strip()), "no output")
    return Row(case.name, tool, ended.seconds, ended.peak_mib, note=f"failed ({ended.status}): {last[:160]}")
