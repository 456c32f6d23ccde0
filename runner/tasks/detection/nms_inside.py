"""End-to-end exports, whose graph ends in boxes that have been through NMS, or that need none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs
from runner.tasks.detection.formats import Order, corners_of, refuse_order, refuse_other_unit, that_holds_boxes
from runner.tasks.detection.head import refuse_thresholds, told
from runner.tasks.detection.nms import surest
from runner.tasks.detection.postprocess import Detections

_READS = (
    "one output [1, boxes, 6] of x1, y1, x2, y2, score, class (ultralytics' nms=True, the end-to-end heads of YOLOv10 and "
    "YOLO26); or an output each for boxes [1, boxes, 4], scores and classes (torchvision), and maybe for how many of them "
    "count (TensorFlow, TensorRT)"
)
_PARTS = ("boxes", "scores", "classes", "count")


@dataclass(frozen=True, slots=True)
class NmsInside:
    """Reads boxes as they are, from one output or several.

    One output is [1, boxes, 6]: x1, y1, x2, y2, score, class, as ultralytics' ``nms=True`` and the end-to-end heads of YOLOv10
    and YOLO26 have it. Several are boxes [1, boxes, 4], scores and classes, as torchvision has them, and maybe how many of them
    count, as TensorFlow and TensorRT say. TensorFlow's detectors: ``order=yxyx normalized=true``, and ``first_class=1`` where
    classes begin with 1.

    Attributes:
        score: boxes at or below it are left out; 0 leaves out those that only fill the output up.
        most: boxes an item.
        order: of a box's numbers: ``xyxy``, ``yxyx``, ``xywh`` from the top left corner, or ``cxcywh``.
        normalized: whether they are shares of the input's width and height, or pixels.
        first_class: the number that the model gives the data's class 0; lower ones (a background) are left out.
        boxes, scores, classes, count: names of the outputs that hold them; told from their shapes, types and names by default.
    """

    score: float = 0.0
    most: int = 300
    order: Order = "xyxy"
    normalized: bool = False
    first_class: int = 0
    boxes: str | None = None
    scores: str | None = None
    classes: str | None = None
    count: str | None = None

    def __post_init__(self) -> None:
        refuse_thresholds(self.score, 0.0, self.most)
        refuse_order(self.order)

    def detections(self, outputs: Outputs, size: Size) -> Detections:
        """Return the boxes of one item; see ``Postprocess``."""
        boxes, scores, numbers = self._parts(outputs)
        with np.errstate(invalid="ignore", over="ignore"):
            classes = np.rint(np.asarray(numbers, np.float64)) - self.first_class
            known = np.flatnonzero((scores > self.score) & (classes >= 0) & (classes < 2**31))
            corners = corners_of(boxes[known], self.order, size, normalized=self.normalized)
        return surest(corners, scores[known], classes[known].astype(np.int64), self.most)

    def check(self, outputs: Outputs, size: Size) -> None:
        """Refuse boxes in another unit."""
        boxes, scores, _ = self._parts(outputs)
        refuse_other_unit(boxes[scores > self.score], outputs, normalized=self.normalized)

    def _parts(self, outputs: Outputs) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return boxes (n, 4), scores (n,) and classes (n,)."""
        named = {part: getattr(self, part) for part in _PARTS}
        for part, name in named.items():
            if name is not None and name not in outputs:
                raise ConfigError(f"postprocess.{part}: the model has no output '{name}'; it has {told(outputs)}.")
        if len(outputs) == 1:
            (rows,) = outputs.values()
            if rows.ndim != 3 or rows.shape[0] != 1 or rows.shape[2] != 6:
                raise self._other(outputs)
            return rows[0, :, :4], rows[0, :, 4], rows[0, :, 5]
        chosen = _told_apart(outputs, named)
        if any(chosen[part] is None for part in _PARTS[:3]):
            raise self._other(outputs)
        boxes, scores, classes = (np.asarray(outputs[str(chosen[part])]) for part in _PARTS[:3])
        boxes, scores, classes = (
            boxes.reshape(-1, boxes.shape[-1] if boxes.ndim else 1),
            scores.ravel(),
            classes.ravel(),
        )
        if boxes.shape[1] != 4 or not len(boxes) == len(scores) == len(classes):
            raise self._other(outputs)
        end = len(boxes)
        if chosen["count"] is not None:
            counted = np.asarray(outputs[str(chosen["count"])], np.float64).ravel()
            end = int(np.clip(np.nan_to_num(counted[0]), 0, end)) if len(counted) else 0
        return boxes[:end], scores[:end], classes[:end]

    def _other(self, outputs: Outputs) -> ConfigError:
        return ConfigError(
            f"postprocess: nms_inside reads {_READS}; got {told(outputs)}. Name the outputs (postprocess.boxes, .scores, "
            ".classes, .count), or choose another postprocess."
        )


def _told_apart(outputs: Outputs, named: dict[str, str | None]) -> dict[str, str | None]:
    """Return which output holds which part; None where nothing tells."""
    chosen = dict(named)
    left = [name for name in outputs if name not in named.values()]

    def take(part: str, candidates: list[str]) -> None:
        if chosen[part] is None and len(candidates) == 1:
            chosen[part] = candidates[0]
            left.remove(candidates[0])

    take("boxes", [name for name in (that_holds_boxes(outputs, left),) if name is not None])
    boxes = 0 if chosen["boxes"] is None else outputs[chosen["boxes"]].size // 4
    take("count", [name for name in left if outputs[name].size == 1 and boxes != 1])
    for part, words in (("classes", ("class", "label")), ("scores", ("score", "conf")), ("count", ("num", "count"))):
        take(part, [name for name in left if any(word in name.lower() for word in words)])
    take("classes", [name for name in left if outputs[name].dtype.kind in "iu"])
    take("scores", [name for name in left if outputs[name].dtype.kind == "f"])
    take("classes", left.copy())
    return chosen
