"""The raw head of ultralytics' detectors from YOLOv8 on: a box in pixels and class probabilities at every place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs
from runner.tasks.detection.head import (
    CANDIDATES,
    GRIDS,
    around,
    grid_places,
    only_output,
    refuse_thresholds,
    scored,
    told,
)
from runner.tasks.detection.nms import suppressed, surest
from runner.tasks.detection.postprocess import Detections

_FAMILY = "yolov8"
_SHAPE = "[1, 4 + classes, places] (or [1, places, 4 + classes])"
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Yolov8:
    """Reads [1, 4 + classes, places], or the same transposed.

    At each place: centre x, centre y, width and height in pixels, then class probabilities. This is what ``yolo export
    format=onnx`` gives for YOLOv8, v9, v11, v12 and, without its end-to-end head, v10. The defaults are those of ``yolo val``:
    a place may hold boxes of several classes.

    Attributes:
        score: boxes at or below it are left out.
        iou: above which the less sure of two boxes of a class goes.
        most: boxes an item.
        multi_label: whether a place may hold boxes of several classes, or only one of its likeliest.
        classes: how many there are, where more follows them (masks, keypoints, an angle); None where nothing does.
        output: name of the output; the only one by default.
    """

    score: float = 0.001
    iou: float = 0.7
    most: int = 300
    multi_label: bool = True
    classes: int | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        refuse_thresholds(self.score, self.iou, self.most)
        if self.classes is not None and self.classes < 1:
            raise ConfigError(f"postprocess.classes: expected 1 or more, or null, got {self.classes}.")

    def detections(self, outputs: Outputs, size: Size) -> Detections:
        """Return the boxes of one item; see ``Postprocess``."""
        head = self._head(outputs, size)
        likely = np.flatnonzero((head[4:] > self.score).any(axis=0))
        few = np.ascontiguousarray(head[:, likely].T)
        sure, classes = scored(few[:, 4:], self.score, multi_label=self.multi_label)
        with np.errstate(invalid="ignore", over="ignore"):
            corners = around(few)
        return suppressed(surest(corners[sure], few[sure, 4 + classes], classes, CANDIDATES), self.iou, self.most)

    def check(self, outputs: Outputs, size: Size) -> None:
        """Refuse channels that are no class's probability."""
        furthest = float(np.nanmax(np.abs(self._head(outputs, size)[4:] - 0.5), initial=0.0))
        if furthest > 0.5 + _ROUNDING:
            raise ConfigError(
                f"postprocess: {_FAMILY} reads class probabilities of 0 to 1 behind the box, got values {furthest - 0.5:.3g} "
                f"beyond that in {told(outputs)}. Where masks, keypoints or an angle follow the classes, set "
                "postprocess.classes=N; of a head with an objectness choose postprocess=yolov5 or yolox."
            )

    def classes_told(self, outputs: Outputs, size: Size) -> int:
        """Return how many classes the head has."""
        return int(self._head(outputs, size).shape[0] - 4)

    def _head(self, outputs: Outputs, size: Size) -> NDArray[np.floating]:
        """Return the head as [4 + classes, places], without what follows the classes."""
        head = only_output(outputs, self.output, _FAMILY, _SHAPE)
        grids = [grid_places(size, strides) for strides in GRIDS]
        transposed = head.shape[1] not in grids and head.shape[0] in grids
        head = head.T if transposed else head
        if head.shape[1] not in grids or head.shape[0] < 4 + (self.classes or 1):
            of = "" if self.classes is None else f" of {self.classes} classes"
            raise ConfigError(
                f"postprocess: {_FAMILY} reads an output {_SHAPE}{of}, of {grids[0]} places for an input of "
                f"{size[0]}x{size[1]}; got {told(outputs)}. For boxes that went through NMS choose postprocess=nms_inside, "
                "for a head with an objectness yolov5 or yolox."
            )
        return head if self.classes is None else head[: 4 + self.classes]
