"""Names of files and folders that other systems made, through a whole job: terminal, report, tables and events."""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from runner.app.journal import Journal, read_events
from runner.app.places import at_home
from runner.app.quoting import quoted
from runner.events import Warned
from runner.job_folder import JobFolder
from tests.app.conftest import Command, Tiny
from tests.command import environment
from tests.data import random_pixels, write_image
from tests.models import onnx_text, save

CHINESE = "数据"
GBK = os.fsdecode(CHINESE.encode("gbk"))
NAMES = [
    GBK,
    "a\nb",
    "\x1b[31mred",
    "-rf",
    "x" * 250,
    "caf\u00e9",
    "cafe\u0301",
    "=1+1",
    "a b",
    "<b>",
    "[red]",
    'q"u,o;te',
    CHINESE,
]


def network(folder: Path) -> Path:
    """Write a network of one convolution whose answers are close to one another, so that int8 changes many."""
    common, own = np.random.default_rng(9).normal(size=3), np.random.default_rng(1).normal(size=(5, 3))
    model = onnx_text(
        """g (float[N,3,8,8] x) => (float[N,5] logits) {
            c = Conv (x, w)
            p = GlobalAveragePool (c)
            logits = Flatten (p)
        }""",
        w=(common + 3e-3 * own).astype(np.float32).reshape(5, 3, 1, 1),
    )
    return save(model, folder / "net.onnx")


def job(folder: Path, *more: str) -> list[str]:
    model = network(folder)
    plain = ["quant=amct", "observer=minmax", "calibration.count=4", "target_loss=100", "tracking=none"]
    return ["model=file", f"model.path={model}", *plain, *more]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Classes 0 to 4 and images of every name, in a folder called by GBK bytes."""
    tree = tmp_path / GBK
    for seed, name in enumerate(NAMES):
        folder = tree / f"{seed % 5}{NAMES[seed % 5]}"
        folder.mkdir(parents=True, exist_ok=True)
        colour = random_pixels(1, 1, seed)
        write_image(folder / f"{name}.png", np.tile(colour, (8, 8, 1)))
    return tree


def process(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "runner", *arguments]
    return subprocess.run(line, cwd=cwd, env=environment(**more), capture_output=True, timeout=120)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_job_ends_well_whatever_the_files_are_called_and_the_terminal_can_show(
    encoding: str, tree: Path, tmp_path: Path
) -> None:
    arguments = job(tmp_path, "dataset=class_tree", f"dataset.images='{tree}'", "metric=top1")
    ended = process(*arguments, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert ended.returncode == 0, ended.stderr
    done = tmp_path / "outputs" / "acc_auto"
    with (done / "flips.csv").open(encoding="utf-8", newline="") as stream:
        flips = list(csv.DictReader(stream))
    assert len(flips) >= 2
    real = {path.relative_to(tree).as_posix() for path in tree.rglob("*.png")}
    readable = {name for name in real if name.isprintable()}
    for flip in flips:
        assert flip["name"] in readable or "\\x" in flip["name"] or "\\n" in flip["name"]
    assert (done / "report.html").read_text(encoding="utf-8")
    assert json.loads((done / "summary.json").read_text(encoding="utf-8"))["dataset"] == r"\xca\xfd\xbe\xdd"
    assert [event["event"] for event in read_events(done)][-1] == "JobFinished"
    assert "\x1b[31m" not in ended.stdout.decode(encoding)


@pytest.mark.parametrize("labelled", [CHINESE, "cafe\u0301"])
def test_label_file_in_another_spelling_gives_the_same_result(labelled: str, tmp_path: Path, run: Command) -> None:
    stored = {CHINESE: GBK, "cafe\u0301": "caf\u00e9"}[labelled]
    summaries = []
    for number, name in enumerate((labelled, stored)):
        folder = tmp_path / f"images{number}"
        folder.mkdir()
        for index in range(6):
            write_image(folder / f"{index}{name}.png", random_pixels(8, 8, index))
        lines = "".join(f"{index}{labelled}.png {index % 5}\n" for index in range(6))
        (tmp_path / "labels.txt").write_text(lines, encoding="utf-8")
        data = ["dataset=image_folder", f"dataset.images={folder}", f"dataset.labels={tmp_path / 'labels.txt'}"]
        ended = run(*job(tmp_path, *data, "metric=top1"))
        assert ended.status == 0, ended.err
        summaries.append(json.loads((tmp_path / "outputs" / "acc_auto" / "summary.json").read_text(encoding="utf-8")))
    assert summaries[0]["dataset_fingerprint"] == summaries[1]["dataset_fingerprint"]
    assert summaries[0]["metrics"] == summaries[1]["metrics"]


def test_image_that_cannot_be_read_is_named_by_what_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{GBK}.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    data = ["dataset=image_folder", "dataset.images=images", "calibration.count=1", "metric=agreement"]
    ended = process(*job(tmp_path, *data), cwd=tmp_path)
    assert ended.returncode == 2
    says = rb"error: dataset.images: images/\xca\xfd\xbe\xdd.jpg cannot be read as an image: it is PostScript; expected JPEG,"
    assert says in ended.stderr and b"Traceback" not in ended.stderr


def test_results_are_not_called_by_bytes_that_onnxruntime_cannot_open(tmp_path: Path, run: Command) -> None:
    network(tmp_path).rename(tmp_path / f"{GBK}.onnx")
    (tmp_path / "images").mkdir()
    for index in range(4):
        write_image(tmp_path / "images" / f"{index}.png", random_pixels(8, 8, index))
    data = ["dataset=image_folder", f"dataset.images={tmp_path / 'images'}", "metric=agreement", "target_loss=100"]
    line = ["model=file", f"model.path='{tmp_path / GBK}.onnx'", *data, "calibration.count=4", "tracking=none"]
    refused = run(*line)
    assert refused.status == 2
    says = r"error: model.name: '\xca\xfd\xbe\xdd', after which the results are called, holds bytes that are no UTF-8"
    assert says in refused.err
    assert run(*line, "model.name=data").status == 0
    elsewhere = run(*line, "model.name=data", f"paths.output='{tmp_path / GBK}'")
    assert elsewhere.status == 2
    assert rf"error: paths.output: {tmp_path}/\xca\xfd\xbe\xdd holds bytes that are no UTF-8" in elsewhere.err


def test_folders_left_out_are_named_in_the_jobs_log(tmp_path: Path, run: Command) -> None:
    for name in ("cat/a", "cat/b", "dog/a", "dog/b", "__MACOSX/c"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "tree" / f"{name}.png", random_pixels(8, 8))
    ended = run(*job(tmp_path, "dataset=class_tree", f"dataset.images={tmp_path / 'tree'}", "metric=top1"))
    assert ended.status == 0, ended.err
    log = (tmp_path / "outputs" / "acc_auto" / "amct_log" / "amct_onnx.log").read_text(encoding="utf-8")
    assert f"{tmp_path / 'tree'}: 1 folders of a system are no classes: __MACOSX" in log


def test_list_of_classes_may_be_given_on_the_command_line(tmp_path: Path, run: Command) -> None:
    for name in ("cat/a", "cat/b", "dog/a", "dog/b"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "tree" / f"{name}.png", random_pixels(8, 8))
    (tmp_path / "tree" / "new").mkdir()
    data = ["dataset=class_tree", f"dataset.images={tmp_path / 'tree'}", "metric=top1"]
    refused = run(*job(tmp_path, *data))
    assert refused.status == 2 and "1 of the 3 folders in" in refused.err and "hold no image: new." in refused.err
    assert run(*job(tmp_path, *data, "dataset.classes=[new,dog,cat]")).status == 0
    assert "dataset.classes[0]: expected text, got 3." in run(*job(tmp_path, *data, "dataset.classes=[3]")).err


def test_any_name_can_be_written_and_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal(Warned(GBK))
    journal.close()
    assert next(read_events(tmp_path))["message"] == GBK
    assert JobFolder(tmp_path).write_text("a.txt", GBK).read_text(encoding="utf-8") == r"\udcca\udcfd\udcbe\udcdd"


@pytest.mark.parametrize("value", [CHINESE, "a(b", "it's", "~/a b", "epoch=9", "[1] a", "C:\\\u6570 (1)"])
def test_path_that_the_command_line_cannot_read_is_quoted_for_the_user(
    value: str, tmp_path: Path, run: Command
) -> None:
    shown = value.replace("~", str(Path.home()))
    ended = run("dataset=image_folder", f"dataset.images={value}", "tracking=none")
    assert ended.status == 2
    assert f"dataset.images: {shown} is no folder; expected" in ended.err
    assert ended.err == run("dataset=image_folder", f"dataset.images={quoted(value)}", "tracking=none").err


@pytest.mark.parametrize("value", ["a:b:c=", "0.2)"])
def test_value_that_the_command_line_cannot_read_is_shown_in_quotes(value: str, run: Command) -> None:
    ended = run(f"seed={value}")
    assert ended.status == 2
    assert f"error: seed: the value {value} holds characters that mean something to the command line" in ended.err
    assert f"""'seed="{value}"'.""" in ended.err


@pytest.mark.parametrize("value", ['{"x":x}', "[a,b", "{x:x"])
def test_mapping_or_list_that_cannot_be_read_is_shown_with_its_form(value: str, run: Command) -> None:
    ended = run(f"dataset.inputs={value}")
    assert ended.status == 2
    assert f"dataset.inputs: the value {value} cannot be read; expected [a,b] or {{key:value}}" in ended.err
    assert "hydra.cc" not in ended.err


@pytest.mark.parametrize("many", [False, True])
def test_everyday_paths_run_as_they_are_typed(many: bool, tiny: Tiny, run: Command, tmp_path: Path) -> None:
    data, first, second = tmp_path / "数据,1 (副本).npz", tmp_path / "模型.onnx", tmp_path / "epoch=9-step=88 (1).onnx"
    data.write_bytes(tiny.data.read_bytes())
    for model in (first, second):
        model.write_bytes(tiny.model.read_bytes())
    chosen = f"model.path={first.name},{second.name}" if many else f"model.path={second.name}"
    options = tiny.options(model__path=None, model__name=None, dataset__path=data.name, paths__output="输出 (1)")
    ended = run(*(["-m", "sweep.name=夜"] if many else []), *options, chosen)
    assert ended.status == 0, ended.err
    root = tmp_path / "输出 (1)"
    done = sorted((root / "sweeps" / "夜").glob("[01]_*")) if many else [root / "acc_auto"]
    names = [json.loads((folder / "summary.json").read_text(encoding="utf-8"))["model"] for folder in done]
    assert names == ([first.stem, second.stem] if many else [second.stem])


def test_home_is_meant_by_a_tilde_wherever_a_path_is_read(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name, source in (("net.onnx", tiny.model), ("data.npz", tiny.data)):
        (home / name).write_bytes(source.read_bytes())
    ended = run(*tiny.options(model__path="~/net.onnx", dataset__path="~/data.npz", paths__output="~/out"))
    assert ended.status == 0, ended.err
    assert (home / "out" / "acc_auto" / "summary.json").is_file() and (home / "out" / "cache").is_dir()
    assert f"record: {home}/none.txt" in run(*tiny.options(), "record=~/none.txt").err
    assert at_home({"a": ["~/b", "~", "x~", "~x"], "d": "~/a;~/b"}) == {
        "a": [f"{home}/b", str(home), "x~", "~x"],
        "d": f"{home}/a;{home}/b",
    }


def test_clock_that_runs_backwards_harms_no_job(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    ended = run(*tiny.options())
    assert ended.status == 0, ended.err
    summary = json.loads((tmp_path / "outputs" / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    assert all(seconds >= 0 for seconds in summary["seconds"].values())
