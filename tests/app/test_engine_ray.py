"""``engine=ray`` from the command line: the files of one machine, and nothing left behind when the job is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.app.conftest import Command, Tiny
from tests.command import command, digests, environment

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: ray)")
RAY = {"engine": "ray", "engine__workers": 2, "engine__callers": 1}
# Holds times and the folder's own digests.
_OF_THE_RUN = {"acc_auto/summary.json", "acc_auto/manifest.json", "acc_auto/report.html"}


@needs_ray
def test_files_are_those_of_one_machine_and_the_summary_names_the_engine(tiny: Tiny, tmp_path: Path) -> None:
    found = []
    for name, options in (("here", {}), ("there", RAY)):
        ended = command(*tiny.options(paths__output=name, target_loss=0.5, **options), cwd=tmp_path)
        assert ended.status in (0, 3), ended.err
        assert "ray" not in ended.err.lower()
        found.append({file: sha for file, sha in digests(tmp_path / name).items() if file not in _OF_THE_RUN})
    assert found[0] == found[1]
    log = (tmp_path / "there" / "acc_auto" / "amct_log" / "amct_onnx.log").read_text(encoding="utf-8")
    assert log.count("1 callers") == 2


@needs_ray
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_stopped_job_leaves_no_process_behind(tiny: Tiny, tmp_path: Path, signum: signal.Signals) -> None:
    many = tmp_path / "many.npz"
    rng = np.random.default_rng(0)
    np.savez(many, x=rng.normal(size=(200_000, 2, 6, 6)).astype(np.float32), y=rng.integers(5, size=200_000))
    line = [sys.executable, "-m", "runner", *tiny.options(dataset__path=many, cache="none", **RAY)]
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stdout=-1, stderr=-1, text=True) as process:
        journal = tmp_path / "outputs" / "acc_auto" / "events.jsonl"
        for _ in range(600):
            if journal.is_file() and '"float_eval"' in journal.read_text(encoding="utf-8"):
                break
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signum)
        _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if signum != signal.SIGKILL else -signal.SIGKILL), err
    for _ in range(300):
        left = _children_of_ray(process.pid)
        if not left:
            break
        time.sleep(0.1)
    assert left == []
    if signum != signal.SIGKILL:
        assert "error: interrupted" in err
        events = [json.loads(each) for each in journal.read_text(encoding="utf-8").splitlines()]
        assert events[-1]["event"] == "JobFailed"


def _children_of_ray(driver: int) -> list[str]:
    """Return the command lines of Ray's processes whose session a driver started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"_{driver}/" in line and "session_" in line:
                found.append(line[:120])
    return found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["engine=ray", "engine.workers=0"], "engine.workers: expected 1 or more, or null for one a machine, got 0."),
        (["engine=ray", "engine.shard=0"], "engine.shard: expected 1 item or more, or null to choose, got 0."),
        (["engine=ray", "engine.callers=0"], "engine.callers: expected 1 or more"),
        (
            ["engine=ray", "engine.adress=auto"],
            "engine.adress: no such option of mode=acc_auto. Did you mean engine.address?",
        ),
        (["engine=dask"], "engine=dask: no such option. Available: local, ray."),
    ],
)
def test_wrong_options_are_refused(given: list[str], message: str, tiny: Tiny, run: Command) -> None:
    ended = run(*tiny.options(), "mode=acc_auto", *given)
    assert ended.status == 2
    assert message in ended.err


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: ray)")
def test_cluster_that_does_not_answer_is_told_at_once(tiny: Tiny, tmp_path: Path) -> None:
    ended = command(*tiny.options(engine="ray", engine__address="127.0.0.1:9"), cwd=tmp_path)
    assert ended.status == 2
    assert "error: engine.address: no cluster answers at 127.0.0.1:9: " in ended.err
    assert os.linesep.join(ended.err.splitlines()[-1:]).count("ray start --head") == 1
