"""A job that is killed again and again: what it leaves each time is sound, and what it ends with is the undisturbed result.

``python -m tests.killing --kills 30`` does it by hand, ``tests/app/test_resume.py`` a few times in the suite.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.command import environment
from tests.data import normal_items
from tests.models import answers, chain, save

_SECONDS = 120


def prepare(folder: Path, items: int = 400) -> list[str]:
    """Write a model and data for a search of several plans, and return the job's command line."""
    model = chain(6)
    x = normal_items(items, 3, 4, 4)
    save(model, folder / "net.onnx")
    np.savez(folder / "data.npz", x=x, y=answers(model, x))
    return [
        *["model=file", f"model.path={folder / 'net.onnx'}", "model.name=net", "dataset=npz"],
        *[f"dataset.path={folder / 'data.npz'}", "calibration.count=10", "observer=minmax", "metric=kl"],
        *["strategy=linear", "sensitivity=cosine", "target_loss=0.001", "tracking=none"],
    ]


def start(arguments: Sequence[str], cwd: Path) -> subprocess.Popen[str]:
    """Start the job in a directory."""
    line = [sys.executable, "-m", "runner", *arguments]
    return subprocess.Popen(line, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(arguments: Sequence[str], cwd: Path) -> int:
    """Run the job to its end and return its exit status."""
    process = start(arguments, cwd)
    process.communicate(timeout=_SECONDS)
    return process.returncode


def artifacts(folder: Path) -> dict[str, str]:
    """Return the digest of every file that a job leaves, but for those that tell times."""
    told = {"summary.json", "manifest.json", "events.jsonl", "amct_onnx.log", ".lock"}
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in told and ".hydra" not in path.parts
    }


def unsound(folder: Path) -> list[str]:
    """Return the files that the manifest lists and that are not as it says."""
    path = folder / "manifest.json"
    listed = json.loads(path.read_text(encoding="utf-8"))["files"] if path.is_file() else {}
    return [
        name
        for name, digest in listed.items()
        if not (folder / name).is_file() or hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest
    ]


def killed(arguments: Sequence[str], cwd: Path, after: float) -> bool:
    """Start the job, kill it after some seconds, and return whether it was still running."""
    process = start(arguments, cwd)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=_SECONDS)
    return process.returncode == -signal.SIGKILL


def main() -> int:
    """Kill jobs at random moments and compare; print one line a kill and return 1 if one ended otherwise."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, faults, done = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        arguments = prepare(root)
        (root / "plain").mkdir()
        begin = time.perf_counter()
        finish(arguments, root / "plain")
        whole = time.perf_counter() - begin
        expected = artifacts(root / "plain" / "outputs" / "acc_auto")
        print(f"undisturbed: {whole:.1f} s, {len(expected)} files")
        while done < options.kills:
            cwd = root / f"killed{done}"
            cwd.mkdir(exist_ok=True)
            after = rng.uniform(0.1, whole)
            if not killed(arguments, cwd, after):
                continue
            done += 1
            broken = unsound(cwd / "outputs" / "acc_auto")
            finish(arguments, cwd)
            same = artifacts(cwd / "outputs" / "acc_auto") == expected and not unsound(cwd / "outputs" / "acc_auto")
            faults += bool(broken) or not same
            verdict = "identical" if same else "DIFFERENT"
            print(f"kill {done} after {after:.2f} s: manifest {broken or 'sound'}, then {verdict}", flush=True)
    print(f"{done - faults} of {done} as undisturbed")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
