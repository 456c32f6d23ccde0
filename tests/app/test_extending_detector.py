"""The detector of docs/howto/extend-detector.md and extend-evaluator.md, by the commands of the pages."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.app.conftest import Command
from tests.app.extending_page import EVALUATOR, F1, HEAD, SCENES, commands, write_examples
from tests.command import Ended, command
from tests.models import run_plain
from tests.tasks.task_cases import CLASSES, SIDE, fed, normal, photos, trunk

STRIDE, CELLS = 8, SIDE // 8
# A truth is a box of the float model that is at least this sure, a little moved.
SURE = 0.3


def detector() -> onnx.ModelProto:
    """Return a model of distances and class probabilities on a grid of 4 by 4 cells, as the page's head reads them."""
    nodes, constants = trunk()
    tile = [STRIDE] * 2
    nodes += [
        helper.make_node("AveragePool", ["f"], ["p"], "pool", kernel_shape=tile, strides=tile),
        helper.make_node("Conv", ["p", "ws", "bs"], ["s"], "head_sides"),
        helper.make_node("Relu", ["s"], ["sides"], "sides_relu"),
        helper.make_node("Conv", ["p", "wc", "bc"], ["c"], "head_classes"),
        helper.make_node("Sigmoid", ["c"], ["classes"], "sigmoid"),
    ]
    constants |= {"ws": normal(4, 8, 1, 1) * 0.3, "bs": np.full(4, 0.8, np.float32)}
    constants |= {"wc": normal(CLASSES, 8, 1, 1) * 2, "bc": np.full(CLASSES, -0.5, np.float32)}
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", float32, ["N", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("sides", float32, ["N", 4, CELLS, CELLS]),
            helper.make_tensor_value_info("classes", float32, ["N", CLASSES, CELLS, CELLS]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def decoded(sides: NDArray, classes: NDArray, least: float) -> list[tuple[int, float, list[float]]]:
    """Return class, score and corners of every cell and class above a score, one loop a thing."""
    found = []
    for number in range(CLASSES):
        for row in range(CELLS):
            for column in range(CELLS):
                if (score := float(classes[0, number, row, column])) > least:
                    x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
                    left, top, right, bottom = (float(side) * STRIDE for side in sides[0, :, row, column])
                    found.append((number, score, [x - left, y - top, x + right, y + bottom]))
    return sorted(found, key=lambda box: -box[1])


def overlap(a: list[float], b: list[float]) -> float:
    """Return intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def kept(found: list[tuple[int, float, list[float]]]) -> list[tuple[int, float, list[float]]]:
    """Return what greedy NMS at an overlap of 0.6 leaves."""
    stay: list[tuple[int, float, list[float]]] = []
    for box in found:
        if all(box[0] != other[0] or overlap(box[2], other[2]) <= 0.6 for other in stay):
            stay.append(box)
    return stay


def cut(box: list[float]) -> list[float]:
    return [min(max(number, 0.0), float(SIDE)) for number in box]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, the detector, photos, and boxes as CSV and as COCO's JSON."""
    folder = tmp_path_factory.mktemp("own")
    write_examples(folder)
    model = detector()
    onnx.save(model, folder / "detector.onnx")
    x = fed(photos(folder))
    (folder / "images").rename(folder / "photos")
    random = np.random.default_rng(3)
    lines, images, boxes = [], [], []
    for index, (sides, classes) in enumerate(run_plain(model, x, ["sides", "classes"])):
        name = f"{index:02}.png"
        images.append({"id": index + 1, "file_name": name, "width": SIDE, "height": SIDE})
        for number, _, box in kept(decoded(sides, classes, SURE)):
            x1, y1, x2, y2 = (round(float(side), 2) for side in cut(list(np.array(box) + random.uniform(-1, 1, 4))))
            lines.append([name, number, x1, y1, x2, y2])
            about = {"id": len(boxes) + 1, "image_id": index + 1, "category_id": number + 1, "iscrowd": 0}
            boxes.append({**about, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)})
    assert {line[0] for line in lines} == {image["file_name"] for image in images}
    with open(folder / "boxes.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    categories = [{"id": number + 1, "name": f"c{number}"} for number in range(CLASSES)]
    (folder / "coco.json").write_text(
        json.dumps({"info": {}, "images": images, "annotations": boxes, "categories": categories})
    )
    return folder


def outputs(folder: Path, model: Path) -> list[tuple[NDArray, NDArray]]:
    """Return the sides and classes of each photo, as plain onnxruntime computes them."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "photos").iterdir())])
    return [(s, c) for s, c in run_plain(onnx.load(model), fed(pixels), ["sides", "classes"])]


def average_precision(folder: Path, model: Path, least: float = 0.05) -> float:
    """Return pycocotools' AP in percent of a model file, its boxes cut at the photo's edges."""
    found = []
    for index, (sides, classes) in enumerate(outputs(folder, model)):
        for number, score, box in kept(decoded(sides, classes, least))[:100]:
            x1, y1, x2, y2 = cut(box)
            about = {"image_id": index + 1, "category_id": number + 1, "score": score}
            found.append({**about, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "coco.json"))
        judged = COCOeval(truth, truth.loadRes(found), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return 100 * float(judged.stats[0])


def f1(folder: Path, model: Path) -> float:
    """Return F1 in percent: at a score of 0.25, each box against the true one of its class that it overlaps most."""
    truth: dict[str, list[list[float]]] = {}
    with open(folder / "boxes.csv", newline="", encoding="utf-8") as file:
        for name, *numbers in csv.reader(file):
            truth.setdefault(name, []).append([float(number) for number in numbers])
    hits = false = missed = 0
    for (_, boxes), (sides, classes) in zip(sorted(truth.items()), outputs(folder, model), strict=True):
        left = list(boxes)
        for number, score, box in kept(decoded(sides, classes, 0.05))[:100]:
            alike = [other for other in left if other[0] == number and overlap(cut(box), other[1:]) >= 0.5]
            if score < 0.25:
                continue
            if alike:
                left.remove(max(alike, key=lambda other: overlap(cut(box), other[1:])))
                hits += 1
            else:
                false += 1
        missed += len(left)
    return 200 * hits / (2 * hits + false + missed)


def page_command(name: str) -> list[str]:
    """Return the page's first command that names a class."""
    return next(arguments for arguments in commands() if any(name in argument for argument in arguments))


def summary(folder: Path, ended: Ended) -> dict[str, Any]:
    assert ended.status == 0, ended.err + ended.out
    found: dict[str, Any] = json.loads((folder / "outputs" / "acc_auto" / "summary.json").read_text())
    return found


def test_own_data_and_own_reading_of_boxes_are_judged_by_map(made: Path) -> None:
    arguments = page_command(f"+postprocess._target_={HEAD}")
    assert f"+dataset._target_={SCENES}" in arguments
    told = summary(made, command(*arguments, "tracking=none", "target_loss=50", cwd=made))
    model = made / "outputs" / "acc_auto" / "results" / "detector_fake_quant_model.onnx"
    assert told["float_metric"] == pytest.approx(average_precision(made, made / "detector.onnx"), abs=1e-3)
    assert told["quantized_metric"] == pytest.approx(average_precision(made, model), abs=1e-3)
    assert told["float_metric"] > 0 and next(iter(told["metrics"])) == "map"


def test_own_measure_decides(made: Path) -> None:
    arguments = page_command(F1)
    assert f"+metric.postprocess._target_={HEAD}" in arguments
    told = summary(made, command(*arguments, "tracking=none", "target_loss=50", cwd=made))
    model = made / "outputs" / "acc_auto" / "results" / "detector_fake_quant_model.onnx"
    assert told["float_metric"] == pytest.approx(f1(made, made / "detector.onnx"), abs=1e-6)
    assert told["quantized_metric"] == pytest.approx(f1(made, model), abs=1e-6)
    assert 50 < told["float_metric"] < 100


def test_amct_evaluator_of_a_detector_decides(made: Path) -> None:
    arguments = page_command(EVALUATOR)
    told = summary(made, command(*arguments, "+metric.kwargs.allowed=0.5", "tracking=none", cwd=made))
    model = made / "outputs" / "acc_auto" / "results" / "detector_fake_quant_model.onnx"
    assert told["float_metric"] == pytest.approx(average_precision(made, made / "detector.onnx") / 100, abs=1e-5)
    assert told["quantized_metric"] == pytest.approx(average_precision(made, model) / 100, abs=1e-5)
    assert told["loss"] == pytest.approx(told["float_metric"] - told["quantized_metric"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([f"+postprocess._target_={HEAD}", "+postprocess.stride=eight"], "postprocess.stride: expected a whole number"),
        (
            [f"+postprocess._target_={SCENES}"],
            f"postprocess._target_: '{SCENES}' cannot be used here; expected a class",
        ),
        (["+postprocess._target_=my_head.Heads"], "postprocess._target_: cannot import 'my_head.Heads'"),
        ([], "postprocess: metric=map needs to know how boxes are read out of the model's outputs; expected"),
        (["~metric", f"+metric._target_={F1}"], "metric.postprocess: a value is required"),
    ],
)
def test_what_is_wrong_with_an_own_reading_is_said(options: list[str], message: str, made: Path, run: Command) -> None:
    data = [
        "~dataset",
        f"+dataset._target_={SCENES}",
        f"+dataset.images={made}/photos",
        f"+dataset.boxes={made}/boxes.csv",
    ]
    write_examples(Path.cwd())
    try:
        ended = run("model=file", f"model.path={made}/detector.onnx", "target_loss=1", "tracking=none", *data, *options)
    finally:
        for name in ("my_head", "my_scenes", "my_f1"):
            sys.modules.pop(name, None)
    assert ended.status == 2
    assert f"error: {message}" in ended.err, ended.err
