"""Kills a job before every single change that it makes to its folder: what it leaves is sound, and the next job ends the same.

    python -m benchmarks.kill_points                  whole jobs, each over an earlier result: some hundred kills a case
    python -m benchmarks.kill_points --case folder    what a job's folder does alone; the suite runs this

A kill is a process that ends at once, without a chance to tidy up. Python tells an audit hook of every file that is opened for
writing, renamed, removed or linked; the process that is killed leaves at the Nth such moment. Needs a system that can fork.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from runner.job_folder import JobFolder, replace_listed, withdraw_unfinished

_CHANGES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.rmtree",
    "os.chmod",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_KILLED = 137
# Told anew by every start, and no part of a result.
_OF_THE_START = ("events.jsonl",)
Work = Callable[[Path], None]


def _folder_alone(root: Path) -> None:
    """Do everything that can be done with a job's folder."""
    folder = JobFolder(root)
    folder.write_text("tmp/config.json", "new")
    with folder.published():
        folder.write_text("results/net_deploy_model.onnx", "first")
        folder.write_text("results/net_fake_quant_model.onnx", "first")
    folder.remove("results/net_fake_quant_model.onnx")
    with folder.published():
        folder.write_text("results/net_deploy_model.onnx", "second")
    with folder.whole_folder("amct_log/temp1") as inside:
        inside.write_text("index.json", "{}")
        inside.write_text("item0/a.npy", "a")
    folder.write_text("summary.json", "{}")
    folder.finish()
    replace_listed(root, "summary.json", '{"mlflow": {}}')


def _earlier_folder(root: Path) -> None:
    folder = JobFolder(root)
    for name in ("tmp/config.json", "tmp/old.npz", "results/net_deploy_model.onnx", "results/old_deploy_model.onnx"):
        folder.write_text(name, "old")
    folder.write_text("summary.json", "old")
    folder.finish()


def _failing_folder(root: Path) -> None:
    """Fail in the middle of a job."""
    folder = JobFolder(root)
    folder.write_text("tmp/config.json", "new")
    with folder.published():
        folder.write_text("results/net_deploy_model.onnx", "first")
    withdraw_unfinished(root, "summary.json")


def _job(**options: Any) -> Work:  # noqa: ANN401
    def work(root: Path) -> None:
        from benchmarks.fuzz import seeds
        from benchmarks.fuzz.subjects.folders import ended_job

        ended_job(
            root.parent, root, {"model": {"path": "net.onnx"}}, made=seeds.convolutions(), x=seeds.items(), **options
        )
        # Both tell times and how many callers there were. MLflow's run is added to the summary in this way.
        told = json.loads((root / "summary.json").read_text(encoding="utf-8"))
        kept = {
            key: told[key]
            for key in ("model", "loss", "layers_int8", "layers_total", "macs_int8_share", "agreement")
            if key in told
        }
        replace_listed(root, "summary.json", json.dumps(kept))
        replace_listed(root, "report.html", "")

    return work


def _cases() -> dict[str, tuple[Work, Work]]:
    """Return what runs first, undisturbed, and what is killed."""
    from runner import Correction, Linear

    corrected = Correction(equalize=True, balance="auto", rounding="compensated", bias="sequential")
    searched = {"target_loss": 1e-9, "strategy": Linear()}
    return {
        "folder": (_earlier_folder, _folder_alone),
        "failing": (_earlier_folder, _failing_folder),
        "job": (lambda root: None, _job()),
        "job again": (_job(correction=corrected, keep_intermediates=True), _job()),
        "search again": (_job(), _job(**searched)),
        "corrected again": (_job(), _job(correction=corrected, keep_intermediates=True)),
    }


def ends(work: Work, root: Path, at: int = 0) -> int:
    """Do the work in a process of its own, which is killed before change number ``at``; return how many there were.

    Raises:
        AssertionError: the work failed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _do(work, root, at, writing)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _KILLED), (status, said)
    return int(said or 0)


def _do(work: Work, root: Path, at: int, answer: int) -> None:
    changes = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        changing = event in _CHANGES or (event == "open" and arguments[2] & _WRITING)
        if changing and str(arguments[0]).startswith(str(root)):
            changes += 1
            if changes == at:
                os._exit(_KILLED)

    sys.addaudithook(hook)
    os.fsync = lambda fd: None  # what is on the disk outlives a process anyway
    try:
        with contextlib.redirect_stdout(sys.stderr):
            work(root)
        os.write(answer, str(changes).encode())
    except BaseException as error:  # the parent tells of it
        os.write(answer, repr(error).encode())
        os._exit(1)
    os._exit(0)


def artifacts(root: Path) -> dict[str, str]:
    """Return the digest of every file of a folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in _OF_THE_START
    }


def faults(name: str) -> Iterator[tuple[int, str]]:
    """Kill a case's work at every point; yield the number of each with what is wrong then, nothing if all is well."""
    earlier, work = _cases()[name]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "earlier" / "job").mkdir(parents=True)
        ends(earlier, base / "earlier" / "job")
        shutil.copytree(base / "earlier", base / "whole")
        points = ends(work, base / "whole" / "job")
        expected = artifacts(base / "whole" / "job")
        for at in range(1, points + 1):
            shutil.rmtree(base / "killed", ignore_errors=True)
            shutil.copytree(base / "earlier", base / "killed")
            root = base / "killed" / "job"
            ends(work, root, at)
            wrong = _untrue(root)
            ends(work, root)
            found = artifacts(root)
            wrong += [f"{name} is left" for name in sorted(found.keys() - expected.keys())]
            wrong += [f"{name} differs" for name in sorted(expected) if found.get(name) != expected[name]]
            yield at, "; ".join(wrong)


def _untrue(root: Path) -> list[str]:
    """Return what a folder's manifest says that is not so."""
    path = root / "manifest.json"
    listed = json.loads(path.read_text(encoding="utf-8"))["files"] if path.is_file() else {}
    found = artifacts(root) if root.is_dir() else {}
    return [f"the manifest lists another {name}" for name, digest in listed.items() if found.get(name) != digest]


def main() -> int:
    """Kill every case at every point, print a line a fault and one a case, and return 1 if there was a fault."""
    parser = argparse.ArgumentParser("python -m benchmarks.kill_points", description=main.__doc__)
    parser.add_argument("--case", action="append", choices=list(_cases()), help="default: all")
    wrong = 0
    for name in parser.parse_args().case or _cases():
        found = list(faults(name))
        for at, what in found:
            if what:
                print(f"  {name}, killed at point {at}: {what}")
        sound = sum(not what for _, what in found)
        print(f"{name}: {sound} of {len(found)} kill points sound", flush=True)
        wrong += len(found) - sound
    return int(wrong > 0)


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
