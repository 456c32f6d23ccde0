"""Sweeps under launchers, in processes of their own: the same bytes, interrupted, a worker killed, Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.app.held_folder import holder_of
from tests.app.conftest import Tiny
from tests.command import command, digests, environment

LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local"],
    "ray": ["hydra/launcher=ray", "hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=2"],
}
SWEEP = ["-m", "sweep.name=x"]


def installed(name: str) -> bool:
    if name == "basic":
        return True
    try:
        return importlib.util.find_spec(f"hydra_plugins.hydra_{name}_launcher") is not None
    except ModuleNotFoundError:
        return False


def launchers(*names: str) -> pytest.MarkDecorator:
    """Return the mark that runs a test under launchers, those apart that are not installed."""
    skipped = pytest.mark.skip(reason="the launcher is an extra that is not installed")
    marked = [pytest.param(name, marks=[] if installed(name) else [skipped]) for name in names]
    return pytest.mark.parametrize("launcher", marked)


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "outputs" / "sweeps" / "x" / "sweep.json").read_text(encoding="utf-8"))
    return found


def promised(folder: Path) -> dict[str, str]:
    """Return the digests of the files whose bytes are promised."""
    kept = re.compile(r"\d_.*(\.onnx|\.txt|\.json|\.npz|flips\.csv)$")
    untold = re.compile(r"(summary|manifest)\.json$|\.submitit|^sweep\.")
    found = digests(folder / "outputs" / "sweeps" / "x")
    return {name: digest for name, digest in found.items() if kept.search(name) and not untold.search(name)}


def started(arguments: list[str], cwd: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "runner", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=cwd, env=environment(), text=True, start_new_session=True, **pipes)  # type: ignore[call-overload,no-any-return]


def wait_for(what: Callable[[], Any]) -> Any:
    for _ in range(1200):
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@launchers("joblib", "submitit", "ray")
def test_launcher_gives_the_bytes_of_one_job_after_the_other_and_says_whose_line_it_is(
    launcher: str, tiny: Tiny, tmp_path: Path
) -> None:
    options = tiny.options(model__path="net.onnx", dataset__path="data.npz", target_loss="60,70", seed="1,2")
    for name in ("basic", launcher):
        (tmp_path / name).mkdir()
        for file in (tiny.model, tiny.data):
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
        ended = command(*SWEEP, *options, "verbose=true", *LAUNCHERS[name], cwd=tmp_path / name)
        assert ended.status == 0, ended.err
    assert promised(tmp_path / "basic") == promised(tmp_path / launcher) and len(promised(tmp_path / "basic")) > 20
    assert [job["folder"] for job in told(tmp_path / launcher)["jobs"]] == [
        f"{n}_target_loss={target},seed={seed}" for n, (target, seed) in enumerate([(60, 1), (60, 2), (70, 1), (70, 2)])
    ]
    said = ended.out + ended.err
    if launcher == "submitit":
        said = "".join(path.read_text() for path in (tmp_path / launcher).rglob(".submitit/*/*_log.err"))
    assert re.search(r"^(\S*\(.*\)\S* )?\[3 target_loss=70, seed=2\] write the files: \d", said, re.MULTILINE)


@launchers("basic", "joblib", "submitit", "ray")
def test_lines_of_json_name_the_job_wherever_it_runs(launcher: str, tiny: Tiny, tmp_path: Path) -> None:
    ended = command(*SWEEP, *tiny.options(target_loss="60,70"), "json=true", *LAUNCHERS[launcher], cwd=tmp_path)
    assert ended.status == 0, ended.err
    *events, last = map(json.loads, ended.out.splitlines())
    assert (last["event"], last["exit_status"]) == ("Ended", 0)
    assert [job["status"] for job in last["sweep"]["jobs"]] == ["met", "met"]
    for name in ("0_target_loss=60", "1_target_loss=70"):
        of_job = [event["event"] for event in events if event["job"] == name]
        kept = (tmp_path / "outputs" / "sweeps" / "x" / name / "events.jsonl").read_text(encoding="utf-8").splitlines()
        assert of_job == [json.loads(line)["event"] for line in kept]


@launchers("basic", "joblib", "submitit", "ray")
def test_no_job_begins_after_a_failed_one_where_that_is_asked(launcher: str, tiny: Tiny, tmp_path: Path) -> None:
    models = f"absent.onnx,{','.join([str(tiny.model)] * 1)}"
    options = tiny.options(model__path=models, seed="range(0,8)")
    one_after_another = {"joblib": ["hydra.launcher.n_jobs=1"], "ray": ["++hydra.launcher.ray.init.num_cpus=1"]}
    line = [*SWEEP, "sweep.fail_fast=true", *options, *LAUNCHERS[launcher], *one_after_another.get(launcher, [])]
    ended = command(*line, cwd=tmp_path)
    statuses = [job["status"] for job in told(tmp_path)["jobs"]]
    assert ended.status == 5 and "failed" in statuses
    if launcher != "submitit":  # which begins with all of them at once
        assert statuses == ["failed"] + 15 * ["not run"]
    assert set(statuses) <= {"failed", "not run", "met"}


@launchers("basic", "joblib", "submitit", "ray")
def test_interrupted_sweep_is_told_and_leaves_with_130(launcher: str, tiny: Tiny, tmp_path: Path) -> None:
    options = [*tiny.options(target_loss="1e-9,2e-9,3e-9", metric="mse", strategy="linear"), "cache=none"]
    process = started([*SWEEP, *options, *LAUNCHERS[launcher]], tmp_path)
    folder = tmp_path / "outputs" / "sweeps" / "x"
    wait_for(lambda: [p for p in folder.glob("*/events.jsonl") if "StageStarted" in p.read_text()])
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130, err
    assert ("sweep of 3 jobs" in out and err.count("Traceback") == 0) or launcher == "submitit"
    assert all((folder / name).is_file() for name in ("sweep.csv", "sweep.html"))
    statuses = [job["status"] for job in told(tmp_path)["jobs"]]
    assert set(statuses) <= {"interrupted", "not run", "met", "not_met"} and set(statuses) & {"interrupted", "not run"}


@launchers("joblib", "ray")
def test_killed_worker_is_told_and_the_same_command_does_the_rest(launcher: str, tmp_path: Path) -> None:
    options = ["tracking=none", "evaluation.count=200", "target_loss=0.1,0.5,1"]
    process = started([*SWEEP, *options, *LAUNCHERS[launcher]], tmp_path)
    folder = tmp_path / "outputs" / "sweeps" / "x"
    job = wait_for(lambda: [p.parent for p in folder.glob("*/events.jsonl") if "float_eval" in p.read_text()])[0]
    holder = holder_of(job)
    assert holder is not None
    os.kill(holder.process, signal.SIGKILL)
    out, err = process.communicate(timeout=110)
    if launcher == "ray":  # starts it again
        assert process.returncode == 0, err
    else:
        assert process.returncode == 5
        assert "ended without a result: its process was killed, or its machine stopped" in out
        assert "The same command with sweep.name=x does only what is missing." in out
    ended = command(*SWEEP, *options, cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert [job["status"] for job in told(tmp_path)["jobs"]] == ["met"] * 3


@pytest.mark.skipif(installed("joblib"), reason="the launcher is installed")
def test_launcher_that_is_not_installed_is_named_with_its_extra(tiny: Tiny, tmp_path: Path) -> None:
    ended = command("-m", *tiny.options(seed="1,2"), "hydra/launcher=joblib", cwd=tmp_path)
    assert (ended.status, ended.err) == (
        2,
        "error: hydra/launcher=joblib: this launcher is not installed. Install the extra that brings it: "
        "pip install 'onnx-quant-runner[parallel]'.\n",
    )


def test_job_in_a_worker_that_does_not_see_the_sweep_says_so(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys\nfrom runner.app import launched\nlaunched.read_plan = lambda sweep: None\n"
        "from runner.app.main import main\nsys.exit(main())\n"
    )
    line = [sys.executable, "-c", program, *SWEEP, *tiny.options(seed="1,2")]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100)
    assert done.returncode == 5
    assert re.search(
        r"error: \S+/x: the plan of the sweep is not seen on \S+\. A sweep over several machines", done.stderr
    )


def test_variables_of_the_command_travel_and_a_machines_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.app.sweep.carried import carried_environment

    monkeypatch.setattr(
        os, "environ", {"MLFLOW_TRACKING_URI": "http://a", "https_proxy": "b", "PATH": "c", "LANG": "d"}
    )
    assert carried_environment() == {"MLFLOW_TRACKING_URI": "http://a", "https_proxy": "b"}
