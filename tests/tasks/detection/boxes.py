"""Photos with true and found boxes, made at random, and what pycocotools says of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.dataset.frame import Frame
from runner.dataset.truth import Boxes
from runner.tasks.detection.postprocess import Detections
from runner.tasks.detection.rows import ItemBoxes

PLAIN = Frame((640, 640), (640, 640))
NO_BOXES = np.empty((0, 4))


def truth(corners: Any, classes: Any, *, areas: Any = None, crowd: Any = None, frame: Frame = PLAIN) -> Boxes:
    """Return true boxes; their areas are width times height, and none is a crowd, unless said."""
    boxes = np.asarray(corners, np.float64).reshape(-1, 4)
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Boxes(
        boxes,
        np.asarray(classes, np.int64).reshape(-1),
        sizes if areas is None else np.asarray(areas, np.float64),
        np.zeros(len(boxes), np.bool_) if crowd is None else np.asarray(crowd, np.bool_),
        frame,
    )


def detections(corners: Any, classes: Any, scores: Any) -> Detections:
    """Return found boxes by falling score."""
    boxes, numbers = np.asarray(corners, np.float64).reshape(-1, 4), np.asarray(scores, np.float64).reshape(-1)
    order = np.argsort(-numbers, kind="stable")
    return Detections(boxes[order], numbers[order], np.asarray(classes, np.int64).reshape(-1)[order])


def random_items(
    photos: int, classes: int, seed: int, *, true: float = 5, found: float = 15, ties: bool = False
) -> list[ItemBoxes]:
    """Return photos whose boxes are near true ones, or anywhere; of all sizes, some crowds, some scores and places alike."""
    rng = np.random.default_rng(seed)

    def placed(count: int) -> NDArray[np.float64]:
        sides = np.exp(rng.normal(3.8, 1.0, (count, 2))).clip(3, 400)
        places = rng.uniform(0, 500, (count, 2))
        corners = np.concatenate([places, places + sides], axis=1)
        return np.round(corners) if ties else corners

    items = []
    for _ in range(photos):
        count, many = rng.poisson(true), rng.poisson(found)
        boxes, numbers = placed(count), rng.integers(0, classes, count)
        near = rng.random(many) < (0.7 if count else 0)
        of = rng.integers(0, max(count, 1), many)
        guesses = placed(many)
        if count:
            shifts = rng.normal(0, 0.08, (many, 4)) * np.tile(boxes[of, 2:] - boxes[of, :2], 2)
            shifted = boxes[of] + (0 if ties else 1) * shifts
            shifted = np.concatenate([shifted[:, :2], np.maximum(shifted[:, 2:], shifted[:, :2])], axis=1)
            guesses = np.where(near[:, np.newaxis], shifted, guesses)
        kinds = np.where(near & (rng.random(many) < 0.9), numbers[of] if count else 0, rng.integers(0, classes, many))
        scores = np.round(rng.random(many), 1 if ties else 6)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * rng.uniform(0.5, 1, count)
        known = truth(boxes, numbers, areas=areas, crowd=rng.random(count) < 0.1)
        items.append(ItemBoxes.of(known, detections(guesses, kinds, scores)))
    return items


def by_pycocotools(items: Sequence[ItemBoxes]) -> dict[str, float]:
    """Return pycocotools' figures in percent, -100 where there is none; the test is skipped where it is not installed."""
    api = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed; it is in the extra 'test'")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    classes = sorted({int(number) for item in items for number in item.classes} | {0})
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, item in enumerate(items, start=1):
        for box, number, area, crowd in zip(item.corners, item.classes, item.areas, item.crowd, strict=True):
            true.append(_listed(image, box, number) | {"id": len(true) + 1, "area": area, "iscrowd": int(crowd)})
        for box, number, score in zip(item.found.corners, item.found.classes, item.found.scores, strict=True):
            found.append(_listed(image, box, number) | {"score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        known = api.COCO()
        images = [{"id": image} for image in range(1, len(items) + 1)]
        known.dataset = {
            "info": {},
            "images": images,
            "annotations": true,
            "categories": [{"id": each} for each in classes],
        }
        known.createIndex()
        judged = evaluation.COCOeval(known, known.loadRes(found) if found else api.COCO(), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    names = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
    return {name: 100 * float(value) for name, value in zip(names, judged.stats, strict=False)}


def _listed(image: int, box: NDArray[np.float64], number: int) -> dict[str, Any]:
    x, y, right, bottom = box.tolist()
    return {"image_id": image, "category_id": int(number), "bbox": [x, y, right - x, bottom - y]}
