"""How long Ctrl-C takes: ``python -m benchmarks.interrupting [--moments N] [--seed N] [OPTION ...]``.

A job is interrupted at random moments of its life, each time with nothing remembered; a row a moment says what it was doing,
how long it then took to end, and what it left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import cases
from benchmarks.process import ROOT
from benchmarks.table import machine, markdown
from runner.app.journal import read_events
from runner.graph.model_file import file_sha256
from runner.job_folder import read_manifest

# Every kind of stage within a minute.
_OPTIONS = ("quant=best", "evaluation.count=100", "calibration.count=20", "verify.count=50", "target_loss=0.2")


@dataclass(frozen=True, slots=True)
class Interruption:
    """What one interrupted job did.

    Attributes:
        after: seconds from its start to the signal.
        stage: that it was in.
        seconds: from the signal to its end.
        cpu_seconds: of its processor time meanwhile, which other work on the machine does not stretch.
        status: exit status.
        left: what its folder holds.
    """

    after: float
    stage: str
    seconds: float
    cpu_seconds: float
    status: int
    left: str


def start(options: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a job."""
    line = [sys.executable, "-m", "runner", *options, "tracking=none", f"paths.output={output}"]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interrupted(options: Sequence[str], output: Path, after: float) -> Interruption | None:
    """Interrupt a job after some seconds; None where it had ended by then."""
    before, process = used_by_children(), start(options, output)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
        return None
    stage, used = stage_of(output / "acc_auto"), used_by(process.pid)
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    status = process.wait()
    seconds, used = time.perf_counter() - begin, used_by_children() - before - used
    return Interruption(after, stage, seconds, used, status, left_in(output / "acc_auto"))


def used_by(process: int) -> float:
    """Return the processor seconds of a live process, as Linux tells them."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def used_by_children() -> float:
    """Return the processor seconds of all processes that ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def stage_of(folder: Path) -> str:
    """Return the stage that a job is in, as its journal tells."""
    stage = "start"
    for event in read_events(folder):
        if event["event"] == "StageStarted":
            stage = " ".join(filter(None, (str(event["stage"]), str(event["detail"]))))
        elif event["event"] == "StageFinished":
            stage = f"after {event['stage']}"
    return stage


def left_in(folder: Path) -> str:
    """Return what an interrupted job's folder holds."""
    listed = read_manifest(folder)
    if any(not (folder / name).is_file() or file_sha256(folder / name) != digest for name, digest in listed.items()):
        return "UNSOUND"
    pair = sum(name.endswith("_model.onnx") for name in listed)
    summary = folder / "summary.json"
    status = json.loads(summary.read_text(encoding="utf-8"))["status"] if summary.is_file() else "no summary"
    return f"{'a model pair' if pair else 'no model'}, {status}"


def main() -> None:
    """Print a table of interruptions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given, options = parser.parse_known_args()
    line = [*cases()[0].options, *(options or _OPTIONS)]
    rng = random.Random(given.seed)
    print(f"Measured on {machine()}: {' '.join(line)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        start(line, Path(name) / "whole").wait()
        whole = time.perf_counter() - begin
        print(f"undisturbed: {whole:.1f} s", flush=True)
        found: list[Interruption] = []
        while len(found) < given.moments:
            one = interrupted(line, Path(name) / f"moment{len(found)}", rng.uniform(0, whole))
            if one is not None:
                found.append(one)
                print(f"{one.after:.1f} s, {one.stage}: {one.seconds:.2f} s ({one.cpu_seconds:.2f} of CPU)", flush=True)
    rows = [
        [f"{i.after:.1f}", i.stage, f"{i.seconds:.2f}", f"{i.cpu_seconds:.2f}", str(i.status), i.left] for i in found
    ]
    print(markdown(["after s", "while", "ends after s", "CPU s", "exit status", "leaves"], rows))


if __name__ == "__main__":
    main()
