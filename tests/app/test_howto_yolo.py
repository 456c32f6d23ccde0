"""The command of docs/howto/detector.md, on a network of 32x32 and its photos."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.app.extending_page import HOWTO
from tests.command import command
from tests.models import save
from tests.tasks.task_cases import CLASSES, detector, detector_truth

PAGE = (HOWTO / "detector.md").read_text(encoding="utf-8")


def page_command() -> list[str]:
    """Return the arguments of the page's whole command."""
    found = re.search(r"^python -m runner (model=file (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
    assert found is not None
    return found[1].replace("\\\n", " ").split()


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A folder with what the page's command names."""
    made = detector()
    save(made, tmp_path / "yolov8n.onnx")
    detector_truth(tmp_path / "made", made)
    for part in ("images", "labels"):
        for split in ("train", "val"):
            shutil.copytree(tmp_path / "made" / part, tmp_path / "shapes" / part / split)
    names = "\n".join(f"  {number}: shape {number}" for number in range(CLASSES))
    (tmp_path / "shapes" / "data.yaml").write_text(
        f"path: shapes\ntrain: images/train\nval: images/val\nnames:\n{names}\n"
    )
    return tmp_path


def test_command_of_the_page_runs(shapes: Path) -> None:
    ended = command(*page_command(), "target_loss=100", "tracking=none", cwd=shapes)
    assert ended.status == 0, ended.err
    summary = json.loads((shapes / "outputs" / "acc_auto" / "summary.json").read_text())
    assert list(summary["metrics"])[:1] == ["map"]
    assert summary["samples"] == 24
    assert re.match(r"target met: \S+ on \S+, map \d", ended.out)
    assert "atc --framework=5" in ended.out


def test_size_that_does_not_fit_is_refused_with_what_to_set(shapes: Path) -> None:
    ended = command(*page_command(), "dataset.preprocess.letterbox.size=[320,320]", "tracking=none", cwd=shapes)
    assert ended.status == 2
    assert (
        "has shape 3x320x320, but the model input 'x' takes 3x32x32 an item. Of photos set "
        "dataset.preprocess.resize=[32,32], or a crop or letterbox of that size." in ended.err
    )
