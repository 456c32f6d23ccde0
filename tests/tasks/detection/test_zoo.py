"""A real detector on real photos: the AP that is known of it, from either format of its labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import yaml

from runner.app.checking import build
from runner.dataset.coco import CocoDataset
from runner.dataset.item import ONLY_INPUT
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.yolo import YoloDataset
from runner.evaluation.scores import column
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.resampling import ResampledPrecision
from runner.tasks.detection.rows import ItemBoxes
from runner.tasks.detection.yolox import Yolox
from tests.command import ROOT
from tests.tasks.detection.boxes import by_pycocotools

pytestmark = [pytest.mark.zoo, pytest.mark.slow]


def yolox_preprocess() -> ImagePreprocess:
    """Return the shipped preset, for an input of 416 x 416."""
    content = yaml.safe_load((ROOT / "conf" / "dataset" / "preprocess" / "yolox.yaml").read_text(encoding="utf-8"))
    content["letterbox"]["size"] = [416, 416]
    built = build(content, ImagePreprocess, "dataset.preprocess")
    assert isinstance(built, ImagePreprocess)
    return built


def test_float_ap_of_yolox_is_the_known_one(zoo: Path) -> None:
    folder = zoo / "coco_val128"
    coco = CocoDataset(str(folder / "images"), str(folder / "instances.json"), yolox_preprocess())
    yolo = YoloDataset(str(folder / "images"), preprocess=yolox_preprocess())
    session = ort.InferenceSession(str(zoo / "models" / "yolox_nano_416.onnx"))
    # As the figure was measured: every class of a place that is likely enough; YOLOX's own evaluation takes the likeliest.
    several, likeliest = (MeanAveragePrecision(Yolox(multi_label=multi_label)) for multi_label in (True, False))
    scores: dict[str, list] = {"coco": [], "yolo": [], "likeliest": []}
    for index in range(len(coco)):
        outputs = {"output": session.run(None, {"images": coco.item(index).arrays[ONLY_INPUT][np.newaxis]})[0]}
        several.check_outputs(outputs, coco.label(index))
        scores["coco"].append(several.score(outputs, {}, coco.label(index), None))
        scores["yolo"].append(several.score(outputs, {}, yolo.label(index), None))
        scores["likeliest"].append(likeliest.score(outputs, {}, coco.label(index), None))
    found = {name: several.aggregate(column(rows)) for name, rows in scores.items()}
    assert found == pytest.approx(dict.fromkeys(found, 34.0), abs=0.3)
    assert found["yolo"] == pytest.approx(found["coco"], abs=0.01)
    assert several.figures(column(scores["coco"]))["map50"] == pytest.approx(50.3, abs=0.3)
    items = [ItemBoxes.from_row(row) for row in scores["coco"]]
    assert ResampledPrecision(items).percent(np.ones(len(items), np.int64)) == pytest.approx(found["coco"], abs=1e-9)
    assert by_pycocotools(items)["map"] == pytest.approx(found["coco"], abs=1e-9)
