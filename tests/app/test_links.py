"""Links that somebody put into a job's folder: what they name is neither written nor lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.conftest import Tiny
from tests.command import command


@pytest.mark.parametrize("linked", ["folders", "files"])
def test_job_writes_nothing_through_links_in_its_folder(tiny: Tiny, tmp_path: Path, linked: str) -> None:
    elsewhere, job = tmp_path / "elsewhere", tmp_path / "outputs" / "acc_auto"
    names = {
        "folders": [".hydra", "amct_log", "results", "tmp"],
        "files": [
            "events.jsonl",
            "summary.json",
            "manifest.json",
            "amct_log/amct_onnx.log",
            ".hydra/config.yaml",
            ".lock.json",
        ],
    }[linked]
    for name in names:
        (job / name).parent.mkdir(parents=True, exist_ok=True)
        there = elsewhere / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if linked == "folders":
            there.mkdir()
        else:
            there.write_text("precious")
        (job / name).symlink_to(there)
    ended = command(*tiny.options(), cwd=tmp_path)
    if linked == "folders":
        assert ended.status == 2
        assert ended.err.startswith("error: paths.output: ") and "is a link; remove it" in ended.err
        assert ended.err.count("\n") == 1
        assert [path for path in elsewhere.rglob("*") if path.is_file()] == []
    else:
        assert ended.status == 0, ended.err
        assert all((elsewhere / name).read_text() == "precious" for name in names)
        assert not any((job / name).is_symlink() for name in names)
