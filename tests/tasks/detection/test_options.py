"""The shipped choices of a postprocess: each builds, with the class's own defaults, and comments every key."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

from runner.app.checking import build
from runner.tasks.detection.mean_average_precision import POSTPROCESSES
from runner.tasks.detection.nms_inside import NmsInside
from runner.tasks.detection.postprocess import Postprocess
from runner.tasks.detection.ssd import Ssd
from runner.tasks.detection.yolov5 import Yolov5
from runner.tasks.detection.yolov8 import Yolov8
from runner.tasks.detection.yolox import Yolox
from tests.command import ROOT

CLASSES = {"yolox": Yolox, "yolov5": Yolov5, "yolov8": Yolov8, "nms_inside": NmsInside, "ssd": Ssd}
FILES = sorted((ROOT / "conf" / "postprocess").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_makes_its_class_with_the_classs_own_defaults(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert build(content, Postprocess | None, "postprocess") == CLASSES[path.stem]()
    assert list(content)[1:] == list(inspect.signature(CLASSES[path.stem]).parameters)


def test_every_choice_is_named_where_none_was_made() -> None:
    assert sorted(path.stem for path in FILES) == sorted(CLASSES)
    assert POSTPROCESSES.split(", ")[:-1] == list(CLASSES)
