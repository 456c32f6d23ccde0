"""The files and commands of docs/howto/sweeps.md and its pages for clusters, from a user's own folder."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from runner.app.places import shipped
from runner.app.sweep import report
from tests.app.extending_page import HOWTO
from tests.command import command

PAGES = [HOWTO / f"{name}.md" for name in ("sweeps", "sweeps-slurm", "sweeps-ray")]
PAGE = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
SHORT = ["tracking=none", "evaluation.count=24", "calibration.count=8"]
# What a command needs that may not be installed.
NEEDS = {"=joblib": "hydra_plugins.hydra_joblib_launcher", "=submitit_local": "hydra_plugins.hydra_submitit_launcher"}
NEEDS |= {"=ray": "hydra_plugins.hydra_ray_launcher"}
# Commands for machines that a test does not have.
ELSEWHERE = ("submitit_slurm", "HEAD:6379")


def commands() -> list[list[str]]:
    """Return the arguments of each command of the pages."""
    found = re.findall(r"^python -m runner ((?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
    return [line.replace("\\\n", " ").split() for line in found]


def files() -> dict[str, str]:
    """Return the text of each file that the pages show, by its path."""
    blocks = re.findall(r"`(myconf/\S+\.yaml)`:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    return dict(blocks)


def present(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A user's folder: a network, photos with labels, and the page's files."""
    shutil.copy(shipped("model/mobilenet_v2_digits.onnx"), tmp_path / "net.onnx")
    shutil.copytree(shipped("data/digits/eval"), tmp_path / "photos")
    for name, text in files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_page_shows_the_files_that_it_says() -> None:
    assert sorted(files()) == ["myconf/experiment/net.yaml", "myconf/sweep/mine.yaml"]
    assert len(commands()) == 9


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_command_of_the_page_runs(arguments: list[str], own_folder: Path) -> None:
    line = " ".join(arguments)
    if any(place in line for place in ELSEWHERE):
        pytest.skip("needs a cluster")
    for launcher, module in NEEDS.items():
        if launcher in line and not present(module):
            pytest.skip(f"needs {module}")
    ended = command(*arguments, *SHORT, cwd=own_folder)
    assert ended.status == 0, ended.err
    if "-m" not in arguments and "+sweep" not in line:
        return
    (sweep,) = (own_folder / "outputs" / "sweeps").iterdir()
    told = json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))
    assert len(told["jobs"]) in (3, 4)
    assert {job["status"] for job in told["jobs"]} <= {"met", "not_met"}
    if "+experiment=net" in line:
        summary = json.loads((sweep / told["jobs"][0]["folder"] / "summary.json").read_text(encoding="utf-8"))
        assert (summary["model"], summary["dataset"]) == ("net", "photos") and summary["float_metric"] > 90


def test_table_and_files_come_again_from_what_the_jobs_left(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (arguments,) = [line for line in commands() if "sweep.name=friday" in line]
    ended = command(*arguments, *SHORT, cwd=own_folder)
    folder = own_folder / "outputs" / "sweeps" / "friday"
    names = ("sweep.csv", "sweep.json", "sweep.html")
    before = [(folder / name).read_bytes() for name in names]
    for name in ("sweep.csv", "sweep.html"):
        (folder / name).unlink()
    assert report.main([str(folder)]) == ended.status == 0
    assert [(folder / name).read_bytes() for name in names] == before
    out = capsys.readouterr().out
    assert "sweep of 4 jobs" in out and out.count("report.html") == 4
    assert report.main([str(own_folder)]) == 2
    assert (
        "sweep.json: expected the plan of a sweep, got no such file. Name the folder of one" in capsys.readouterr().err
    )


def test_shipped_sweeps_and_experiments_are_those_that_the_page_names() -> None:
    for group in ("sweep", "experiment"):
        for path in Path(shipped("conf"), group).glob("*.yaml"):
            assert f"`{path.stem}`" in PAGE or f"+{group}={path.stem}" in PAGE
