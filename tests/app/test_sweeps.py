"""Sweeps from the command line: what they are called, what they do again, what they refuse."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from runner.app.held_folder import held
from runner.job_folder import read_manifest
from tests.app.conftest import Command, Tiny
from tests.command import digests

FRIDAY = Path("outputs") / "sweeps" / "friday"


def jobs(folder: Path) -> list[str]:
    """Return the names of the jobs' folders."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def told(folder: Path) -> dict[str, Any]:
    """Return what ``sweep.json`` says."""
    found: dict[str, Any] = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    return found


def events(job: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (job / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def test_same_sweep_again_does_only_what_is_missing(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    arguments = ["-m", "sweep.name=friday", *tiny.options(target_loss="60,70,80", observer="minmax")]
    assert run(*arguments).status == 0
    folder = tmp_path / FRIDAY
    before, times = digests(folder), {name: events(folder / name)[0]["time"] for name in jobs(folder)}
    (folder / "1_target_loss=70" / "report.html").write_text("changed by hand")
    ended = run(*arguments, "cache=none")
    assert ended.status == 0, ended.err
    after = {name: events(folder / name)[0]["time"] for name in jobs(folder)}
    assert {name for name in after if after[name] != times[name]} == {"1_target_loss=70"}
    assert ended.err.count("done before, with all its files; not run again") == 2
    promised = [name for name in before if name.endswith((".onnx", "record.txt", "config.json", ".npz"))]
    assert {name: digests(folder)[name] for name in promised} == {name: before[name] for name in promised}
    assert [job["status"] for job in told(folder)["jobs"]] == ["met"] * 3


def test_another_model_under_the_same_name_is_run_again(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    model = tmp_path / "own.onnx"
    model.write_bytes(tiny.model.read_bytes())
    arguments = ["-m", "sweep.name=friday", *tiny.options(model__path=model, target_loss="60,70")]
    assert run(*arguments).status == 0
    assert run(*arguments).err.count("done before") == 2
    changed = bytearray(model.read_bytes())
    changed += b"\x72\x01\x61"  # a doc string of the model's own metadata is another file
    model.write_bytes(bytes(changed))
    assert run(*arguments).err.count("done before") == 0


def test_another_sweep_into_the_folder_is_refused_and_leaves_it_as_it_is(
    tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    assert run("-m", f"hydra.sweep.dir={tmp_path}/mine", *tiny.options(target_loss="60,70")).status == 0
    before = digests(tmp_path / "mine")
    ended = run("-m", f"hydra.sweep.dir={tmp_path}/mine", *tiny.options(target_loss="70,80"))
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(
        rf"error: hydra\.sweep\.dir: {tmp_path}/mine holds another sweep: .*target_loss=60,70.*\. This one is: "
        r".*target_loss=70,80.*\. Give it a folder of its own, or remove that one\.\n",
        ended.err,
    )
    assert digests(tmp_path / "mine") == before


def test_two_sweeps_of_one_second_do_not_mix(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = time.localtime(0)

    class Clock:
        @staticmethod
        def now() -> Clock:
            return Clock()

        @staticmethod
        def strftime(pattern: str) -> str:
            return time.strftime(pattern, fixed)

    monkeypatch.setattr("hydra.core.utils.datetime", Clock)
    for targets in ("60,70", "70,80"):
        assert run("-m", *tiny.options(target_loss=targets)).status == 0
    first, second = sorted((tmp_path / "outputs" / "sweeps").iterdir())
    assert second.name == f"{first.name}-2"
    assert jobs(first) == ["0_target_loss=60", "1_target_loss=70"]
    assert jobs(second) == ["0_target_loss=70", "1_target_loss=80"]


def test_jobs_after_a_failed_one_do_not_begin_where_that_is_asked(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    model = f"{tiny.model},absent.onnx,{tiny.model}"
    arguments = ["-m", "sweep.name=friday", *tiny.options(model__path=model, model__name=None, seed="1,2")]
    assert run(*arguments, "sweep.fail_fast=true").status == 5
    statuses = [job["status"] for job in told(tmp_path / FRIDAY)["jobs"]]
    assert statuses == ["met", "met", "failed", "not run", "not run", "not run"]
    assert len(jobs(tmp_path / FRIDAY)) == 3
    # Without it the others follow, and what is done stays.
    ended = run(*arguments)
    assert ended.err.count("done before") == 2
    statuses = [job["status"] for job in told(tmp_path / FRIDAY)["jobs"]]
    assert statuses == ["met", "met", "failed", "failed", "met", "met"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["observer=minmax,percentile", "seed=1,2"], ["observer=minmax,seed=1", "observer=minmax,seed=2"]),
        (["skip_layer_types=[],[Gemm]"], ["skip_layer_types=__", "skip_layer_types=_Gemm_"]),
        (["strategy=glob(*ar*)"], ["strategy=binary", "strategy=linear", "strategy=pareto"]),
        (['model.name="a,b","数据"'], ["model.name=a,b", "model.name=数据"]),
        (["model.name=\"it's\",'<b>'"], ["model.name=it_s", "model.name=_b_"]),
        (["seed=5"], []),
    ],
)
def test_folders_are_named_by_what_varies(
    tiny: Tiny, run: Command, tmp_path: Path, arguments: list[str], names: list[str]
) -> None:
    keys = {argument.partition("=")[0] for argument in arguments}
    options = [option for option in tiny.options() if option.partition("=")[0] not in keys]
    ended = run("-m", "sweep.name=friday", *options, *arguments)
    assert ended.status == 0, ended.err
    found = jobs(tmp_path / FRIDAY)
    assert [name.partition("_")[2] for name in found][: len(names)] == names
    started = events(tmp_path / FRIDAY / found[0])[0]
    tags = next(event for event in events(tmp_path / FRIDAY / found[0]) if event["event"] == "JobStarted")["tags"]
    assert started["time"] > 0
    assert list(json.loads(tags["sweep.varied"])) == (
        [key for key in keys if names] if len(keys) == 1 else ["observer", "seed"]
    )


def test_tags_say_what_varies_in_words_too(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    options = tiny.options(target_loss="80,90", strategy="greedy,binary")
    assert run("-m", "sweep.name=friday", *options).status == 0
    tags = [
        next(event for event in events(path) if event["event"] == "JobStarted")["tags"]
        for path in sorted(path for path in (tmp_path / FRIDAY).iterdir() if path.is_dir())
    ]
    assert [tag["varied"] for tag in tags] == [
        f"target_loss={target}, strategy={strategy}" for target in (80, 90) for strategy in ("greedy", "binary")
    ]
    assert {tag["sweep"] for tag in tags} == {"friday"}


def test_both_modes_in_one_sweep(run: Command, tmp_path: Path) -> None:
    ended = run("-m", "sweep.name=friday", "mode=acc_auto,convert_qat", "tracking=none", "evaluation.count=12")
    assert ended.status == 0, ended.err
    assert jobs(tmp_path / FRIDAY) == ["0_mode=acc_auto", "1_mode=convert_qat"]
    assert [job["status"] for job in told(tmp_path / FRIDAY)["jobs"]] == ["met", "converted"]


def test_none_of_the_targets_is_kept(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run("-m", "sweep.name=friday", *tiny.options(metric="mse", target_loss="0,1e-12"))
    assert ended.status == 3
    assert told(tmp_path / FRIDAY)["best"] is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quant=glob(z*)"], "has no job: what glob() is to find does not exist."),
        (["seed=1,2", "paths.job=a"], "paths.job: each job of a sweep has a folder of its own; sweep.name=NAME names"),
        (["seed=1,2", "sweep.name=a/b"], "expected the name of a folder, without slashes and not among sweeps"),
        (["seed=1,2", "paths.output=/proc/none"], "paths.output: /proc/none cannot be written: "),
        (["seed=1,,2"], "seed: the value 1,,2 holds characters that mean something to the command line"),
        (["seed=1,2", "hydra/launcher=joblob"], "hydra/launcher=joblob: no such option."),
    ],
)
def test_sweep_that_cannot_begin_is_refused_in_a_sentence(
    tiny: Tiny, run: Command, tmp_path: Path, arguments: list[str], says: str
) -> None:
    keys = {argument.partition("=")[0] for argument in arguments}
    options = [option for option in tiny.options() if option.partition("=")[0] not in keys]
    ended = run("-m", *options, *arguments)
    assert ended.status == 2 and says in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "outputs").exists() or list((tmp_path / "outputs" / "sweeps").iterdir()) == []


def test_second_job_in_a_folder_is_refused_before_it_touches_anything(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    assert run(*tiny.options()).status == 0
    folder = tmp_path / "outputs" / "acc_auto"
    hidden = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with held(folder, ""):
        ended = run(*tiny.options(observer="percentile"))
    assert ended.status == 2
    assert re.fullmatch(
        rf"error: {folder}: a job writes there at this moment \(process \d+ on \S+, since \S+ \S+\)\. Wait for it, or give "
        r"this job a folder of its own with paths\.job=NAME\.\n",
        ended.err,
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == hidden


def test_folder_of_a_jobs_own_and_the_note_on_what_is_replaced(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    assert "note:" not in run(*tiny.options(paths__job="mine")).err
    assert set(read_manifest(tmp_path / "outputs" / "mine"))
    assert not (tmp_path / "outputs" / "acc_auto").exists()
    assert "note:" not in run(*tiny.options(paths__job="mine", seed=3)).err
    ended = run(*tiny.options(paths__job="mine", model__name="other"))
    note = f"note: {tmp_path}/outputs/mine holds the results of net, which those of other replace. paths.job=NAME gives a run"
    assert ended.err.count(note) == 1 and ended.status == 0


@pytest.mark.parametrize("name", ["../up", "cache"])
def test_folder_of_a_jobs_own_is_one_below_the_root(tiny: Tiny, run: Command, tmp_path: Path, name: str) -> None:
    ended = run(*tiny.options(paths__job=name))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "error: paths.job and sweep.name: expected the name of a folder, without slashes and not among sweeps, cache, "
        f"mlartifacts, mlflow.db; got '{name}'.\n"
    )
    assert list(tmp_path.iterdir()) == []
